create or replace function pgmill.get_job(
  worker       text,
  queues       text[]   default '{default}',
  names        text[]   default null,
  except_names text[]   default null,
  lease        interval default '30 seconds',
  unordered    boolean  default false
)
returns table (
  id           bigint,
  token        uuid,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  attempt      int,
  max_attempts int,
  run_at       timestamptz,
  created_at   timestamptz,
  timeout      interval,
  lease_until  timestamptz,
  cron         jsonb
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Claims the most urgent job: get_jobs of one.
--
--   see get_jobs
--
-- Returns  one row, or none when there is nothing to do.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> ready, what is due; ready -> running.
-- Locks    the job's row; never waits.
begin
  return query
  select j.*
  from pgmill.get_jobs(
    get_job.worker, 1, get_job.queues, get_job.names, get_job.except_names, get_job.lease, get_job.unordered) j;
end;
$$;

comment on function pgmill.get_job is 'Claims the most urgent job.';

select pgmill.grant_execute('pgmill.get_job', 'pgmill_worker');
