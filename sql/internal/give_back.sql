create or replace function pgmill.give_back(
  ids    bigint[],
  tokens uuid[],
  run_at timestamptz
)
returns table (id bigint, state text, run_at_now timestamptz)
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
-- Gives jobs back without charging the attempt.
--
--   ids, tokens  the leases
--   run_at       not before then; past: now; null: the job's own run_at, which keeps its place in the order
--
-- Returns  a row for each lease, in their order: scheduled or ready, with its run_at; cancelled (someone asked for that while it
--          ran); lease_lost.
-- Errors   none.
-- Moves    running -> waiting or ready, by run_at; running -> finished (cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v_now  timestamptz := clock_timestamp();
  v_slot int         := pgmill.current_slot();
begin
  return query
  with input as materialized (
    select i.id, i.token, i.ord from unnest(give_back.ids, give_back.tokens) with ordinality i(id, token, ord) order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token returning r.*, i.ord
  ), verdict as materialized (
    select
      g.*,
      case when give_back.run_at is null then g.run_at else greatest(give_back.run_at, v_now) end as next_run_at,
      case when g.cancel_requested then 'cancelled' when give_back.run_at > v_now then 'scheduled' else 'ready' end as state
    from gone g
  ), later as (
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts - 1, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick
    from verdict v
    where v.state = 'scheduled'
  ), at_once as (
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts - 1, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick, v_slot
    from verdict v
    where v.state = 'ready'
  ), ended as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick,
      v.state, v_now, v.worker, v.token, v.claimed_at
    from verdict v
    where v.state = 'cancelled'
  ), freed as (
    delete from pgmill.job_key k using verdict v
    where v.state = 'cancelled' and v.unique_key is not null and k.queue = any (array[v.queue]) and k.unique_key = v.unique_key
  ), woken as materialized (
    select pgmill.wake(q.queue) from (select distinct v.queue from verdict v where v.state <> 'cancelled') q
  )
  -- Grouped, not joined: see fail_leases.
  select o.id, coalesce(max(o.state), 'lease_lost'), max(o.run_at)
  from (
    select i.id, i.ord, null as state, null as run_at from input i
    union all
    select v.id, v.ord, v.state, case when v.state <> 'cancelled' then v.next_run_at end from verdict v
  ) o
  where (select count(*) from woken) >= 0
  group by o.ord, o.id
  order by o.ord;
end;
$$;

comment on function pgmill.give_back is 'Gives jobs back without charging the attempt.';

select pgmill.grant_execute('pgmill.give_back', null);
