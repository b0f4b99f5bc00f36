create or replace function pgmill.claim(
  worker       text,
  max_jobs     int,
  from_queue   text,
  names        text[],
  except_names text[],
  now          timestamptz,
  lease        interval
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
-- Claims the most urgent jobs of one queue: the heart of get_jobs.
--
--   from_queue  one queue
--   now         the claim's time
--   and get_jobs' parameters, checked
--
-- Returns  as get_jobs.
-- Errors   none.
-- Moves    ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
--
-- The settings above pin the plan: a scan of ready_claim from its low end in each slot, merged, and no further than
-- max_jobs; then look-ups by id. A planner that has never seen the tables full would choose otherwise. Hence `between`, too:
-- `=` would offer it a walk through the whole index of ids, which costs the same while the tables are empty, and a session
-- keeps its plans when they fill.
#variable_conflict use_column
begin
  return query
  with picked as materialized (
    select r.slot, r.id
    from pgmill.ready r
    where r.queue = claim.from_queue
      and (claim.names is null or r.name = any (claim.names))
      and (claim.except_names is null or r.name <> all (claim.except_names))
    order by r.priority, r.run_at, r.id
    limit claim.max_jobs
    for update skip locked
  ), gone as (
    delete from pgmill.ready r using picked p where r.slot = p.slot and r.id between p.id and p.id returning r.*
  ), leased as (
    insert into pgmill.running (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      worker, token, claimed_at, lease_until)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts + 1, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick,
      claim.worker, gen_random_uuid(), claim.now, claim.now + claim.lease
    from gone g
    returning *
  )
  select
    l.id, l.token, l.queue, l.name, l.payload, l.priority, l.attempts, l.max_attempts, l.run_at, l.created_at, l.timeout, l.lease_until,
    case when l.cron is not null then pgmill.cron_context(l.cron, l.cron_tick) end
  from leased l
  order by l.priority, l.run_at, l.id;
end;
$$;

comment on function pgmill.claim is 'Claims the most urgent jobs of one queue.';

select pgmill.grant_execute('pgmill.claim', null);
