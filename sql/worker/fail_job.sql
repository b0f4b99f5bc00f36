create or replace function pgmill.fail_job(
  id       bigint,
  token    uuid,
  error    text,
  retry_in interval default null,
  final    boolean  default false,
  reason   text     default 'error'
)
returns table (state text, run_at timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Records that an attempt failed. The job comes back later, or has failed for good after its last attempt.
--
--   id, token  the lease, as get_jobs returned it
--   error      what went wrong; kept with the job, cut to 2 kB
--   retry_in   how long to wait before the next attempt, up to 10 years; null: the job's own backoff
--   final      true: no further attempt, whatever max_attempts says
--   reason     error, or timeout
--
-- Returns  one row: scheduled, with the time of the next attempt; failed; cancelled (someone asked for that while it ran);
--          lease_lost (the lease is not current; nothing changed).
-- Errors   PM001 invalid_argument.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the job's row; then the row of its key.
#variable_conflict use_column
begin
  perform pgmill.check_leases(array[fail_job.id], array[fail_job.token]);
  perform pgmill.check_failure(fail_job.error, fail_job.retry_in, fail_job.final, fail_job.reason);
  return query
  select f.state, f.run_at
  from pgmill.fail_leases(
    array[fail_job.id], array[fail_job.token], array[fail_job.error], array[fail_job.reason], array[fail_job.retry_in], array[fail_job.final]) f;
end;
$$;

comment on function pgmill.fail_job is 'Records that an attempt failed.';

select pgmill.grant_execute('pgmill.fail_job', 'pgmill_worker');
