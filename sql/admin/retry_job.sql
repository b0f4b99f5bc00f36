create or replace function pgmill.retry_job(
  id bigint
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Runs a failed or cancelled job again: the same job, due now, with all its attempts, its errors kept.
--
--   id  the job
--
-- Returns  false when there is no such job, or it is neither failed nor cancelled.
-- Errors   PM001 invalid_argument; PM004 duplicate_key, when another live job holds its unique_key by now.
-- Moves    finished -> ready.
-- Locks    the job's row; then the row of its key. Waits for a call that takes or frees the same key.
declare
  v_live_id bigint;
begin
  perform pgmill.check_id(retry_job.id);
  select r.live_id into v_live_id from pgmill.retry_ids(array[retry_job.id]) r;
  if v_live_id <> retry_job.id then
    raise exception using
      errcode = 'PM004',
      message = format('A live job (%s) holds the unique_key of job %s.', v_live_id, retry_job.id),
      hint = 'Wait until that job has ended, or cancel it.';
  end if;
  return v_live_id is not null;
end;
$$;

comment on function pgmill.retry_job is 'Runs a failed or cancelled job again.';

select pgmill.grant_execute('pgmill.retry_job', 'pgmill_admin');
