create or replace function pgmill.get_jobs(
  worker       text,
  max_jobs     int,
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
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Claims jobs: from commit on, the worker holds a lease on each. Lets due scheduled jobs in first, the earliest 1000 (or
-- max_jobs) of each queue; tick lets in many more.
--
--   worker        who claims; shown in the job while it runs, and in its errors
--   max_jobs      1 to 10000
--   queues        only jobs of these queues
--   names         only jobs with these names; null: any name
--   except_names  no jobs with these names; not together with names
--   lease         how long the jobs are the worker's unless it extends: 1 millisecond to 30 days
--   unordered     take the queues one after the other in the order given, which with many queues is cheaper than
--                 looking for the most urgent job over all of them
--
-- Returns  the jobs, in the order priority, run_at, id; no rows when there is nothing to do. attempt counts from 1 and is
--          charged now. token goes with every later call for the job.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> ready, what is due; ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
#variable_conflict use_column
declare
  v_now   timestamptz := clock_timestamp();
  v_left  int         := get_jobs.max_jobs;
  v_queue text;
  v_count bigint;
begin
  perform pgmill.check_text('worker', get_jobs.worker);
  if get_jobs.max_jobs is null or get_jobs.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;
  perform pgmill.check_filters(get_jobs.queues, get_jobs.names, get_jobs.except_names);
  perform pgmill.check_interval('lease', get_jobs.lease, '1 millisecond', '30 days');
  if get_jobs.unordered is null then
    perform pgmill.reject('unordered must not be null.', 'Give true or false.');
  end if;
  perform pgmill.admit_due(get_jobs.queues, v_now, greatest(get_jobs.max_jobs, 1000));

  if get_jobs.unordered or cardinality(get_jobs.queues) = 1 then
    foreach v_queue in array get_jobs.queues loop
      return query
      select c.* from pgmill.claim(get_jobs.worker, v_left, v_queue, get_jobs.names, get_jobs.except_names, v_now, get_jobs.lease) c;
      get diagnostics v_count = row_count;
      v_left := v_left - v_count;
      exit when v_left = 0;
    end loop;
    return;
  end if;

  return query
  select c.*
  from pgmill.claim_across(
    get_jobs.worker, get_jobs.max_jobs, get_jobs.queues, get_jobs.names, get_jobs.except_names, v_now, get_jobs.lease) c;
end;
$$;

comment on function pgmill.get_jobs is 'Claims jobs; returns them in the order priority, run_at, id.';

select pgmill.grant_execute('pgmill.get_jobs', 'pgmill_worker');
