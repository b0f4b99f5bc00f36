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
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Claims jobs: from commit on, the worker holds a lease on each. Lets due jobs in first, the earliest 1000 (or max_jobs) of each queue.
--
--   worker        who claims; shown in the job while it runs, and in its errors
--   max_jobs      1 to 10000
--   queues        only jobs of these queues
--   names         only jobs with these names; null: any name
--   except_names  no jobs with these names; not together with names
--   lease         how long the jobs are the worker's unless it extends: 1 millisecond to 30 days
--   unordered     take the queues one after the other, as given: with many it is cheaper than the most urgent job of all
--
-- Returns  the jobs, in the order priority, run_at, id; no rows when there is nothing to do. attempt counts from 1 and is
--          charged now. token goes with every later call for the job; it is fresh at each claim.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> ready, what is due; ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
--
-- The settings above pin the plan: ready_claim from its low end in each slot, merged, no further than max_jobs. A planner that never saw
-- the tables full would choose otherwise. (Others look up `id between x and x`: for `id = x` it might walk through all ids.)
#variable_conflict use_column
declare
  v_now   timestamptz := clock_timestamp();
  v_token text        := left(gen_random_uuid()::text, 24);  -- a token is this, 74 random bits, and the id: a uuid for each is slow
  v_left  int         := get_jobs.max_jobs;
  v_queue text;
  v_count bigint;
begin
  -- The ordinary case, in one expression: one queue; any name, or some.
  if (get_jobs.worker <> '' and length(get_jobs.worker) <= 255
    and get_jobs.max_jobs between 1 and 10000 and cardinality(get_jobs.queues) = 1 and get_jobs.queues[1] <> ''
    and (get_jobs.names is null
      or array_ndims(get_jobs.names) = 1 and cardinality(get_jobs.names) <= 10000 and array_position(get_jobs.names, null) is null)
    and get_jobs.except_names is null and get_jobs.unordered is not null
    and get_jobs.lease between '1 millisecond' and '30 days') is not true
  then
    perform pgmill.check_claim(
      get_jobs.worker, get_jobs.max_jobs, get_jobs.queues, get_jobs.names, get_jobs.except_names, get_jobs.lease, get_jobs.unordered);
  end if;

  -- Nearly always nothing is due, and one probe says so; where probes take long, admit_due sees to that (set_mark).
  if cardinality(get_jobs.queues) > 1 or current_setting('pgmill.mark_' || pgmill.waiting_mark(get_jobs.queues), true) <> ''
    or exists (select from pgmill.waiting w where w.queue = get_jobs.queues[1] and w.run_at <= v_now)
    or clock_timestamp() > v_now + interval '2 ms'
  then
    perform pgmill.admit_due(get_jobs.queues, v_now, greatest(get_jobs.max_jobs, 1000));
  end if;
  if cardinality(get_jobs.queues) > 1 and not get_jobs.unordered then
    return query select c.* from pgmill.claim_across(
      get_jobs.worker, get_jobs.max_jobs, get_jobs.queues, get_jobs.names, get_jobs.except_names, get_jobs.lease) c;
    return;
  end if;
  foreach v_queue in array get_jobs.queues loop
    return query
    with picked as materialized (
      select r.slot, r.ctid
      from pgmill.ready r
      where r.queue = v_queue
        and (get_jobs.names is null or r.name = any (get_jobs.names))
        and (get_jobs.except_names is null or r.name <> all (get_jobs.except_names))
      order by r.priority, r.run_at, r.id
      limit v_left
      for update skip locked
    ), gone as (
      delete from pgmill.ready r using picked p where r.slot = p.slot and r.ctid = p.ctid returning r.*
    )
    insert into pgmill.running as l (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, worker, token, claimed_at, lease_until)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts + 1, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick,
      get_jobs.worker, (v_token || to_hex((1::bigint << 47) + g.id))::uuid, v_now, v_now + get_jobs.lease
    from gone g
    returning
      l.id, l.token, l.queue, l.name, coalesce(l.payload, (select p.payload from pgmill.payload p where p.id = l.id)),
      l.priority, l.attempts, l.max_attempts, l.run_at, l.created_at, l.timeout, l.lease_until,
      case when l.cron is not null then pgmill.cron_context(l.cron, l.cron_tick) end;
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
    exit when v_left = 0;
  end loop;
end;
$$;

comment on function pgmill.get_jobs is 'Claims jobs; returns them in the order priority, run_at, id.';

select pgmill.grant_execute('pgmill.get_jobs', 'pgmill_worker');
