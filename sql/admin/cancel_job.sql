create or replace function pgmill.cancel_job(
  id bigint
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Cancels a job that has not started; asks a running one to stop, which its worker learns with its next heartbeat (a
-- notification on the channel pgmill_cancel brings that forward). A running job that completes all the same is completed; however
-- else it ends, it is cancelled.
--
--   id  the job
--
-- Returns  whether anything happened: false when there is no such job, it has ended, or it was asked before.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the job's row; then the row of its key. Waits for a call that is just moving the job.
begin
  perform pgmill.check_id(cancel_job.id);
  return pgmill.cancel_ids(array[cancel_job.id]) > 0;
end;
$$;

comment on function pgmill.cancel_job is 'Cancels a job, or asks it to stop when it runs.';

select pgmill.grant_execute('pgmill.cancel_job', 'pgmill_admin');
