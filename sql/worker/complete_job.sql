create or replace function pgmill.complete_job(
  id     bigint,
  token  uuid,
  result jsonb   default null,
  keep   boolean default true
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Ends a job that is done, in the caller's transaction: what else the transaction wrote is there exactly when the job
-- is completed. Raises when the lease is not current, so that those writes roll back.
--
--   id, token  the lease, as get_jobs returned it
--   result     what to store with the job, at most 1 MiB; null: nothing
--   keep       false: forget the job instead of keeping it as completed
--
-- Returns  nothing.
-- Errors   PM001 invalid_argument, PM002 lease_lost, PM003 already_completed.
-- Moves    running -> finished (completed), or running -> nothing.
-- Locks    the job's row; then the row of its key.
declare
  v_outcome text;
begin
  select c.outcome into v_outcome
  from pgmill.complete_jobs(
    array[complete_job.id], array[complete_job.token],
    case when complete_job.result is not null then jsonb_build_array(complete_job.result) end, complete_job.keep) c;
  if v_outcome = 'lease_lost' then
    raise exception using
      errcode = 'PM002',
      message = format('The lease on job %s is lost.', complete_job.id),
      hint = 'It ran out and the job was reclaimed, or the job has ended. Roll back; extend leases in time (extend_leases).';
  elsif v_outcome = 'already_completed' then
    raise exception using
      errcode = 'PM003',
      message = format('Job %s is completed already, by this lease.', complete_job.id),
      hint = 'Roll back: what the job had to do was committed with its completion.';
  end if;
end;
$$;

comment on function pgmill.complete_job is 'Ends a job that is done, in the caller''s transaction.';

select pgmill.grant_execute('pgmill.complete_job', 'pgmill_worker');
