create or replace function pgmill.fail_leases(
  ids       bigint[],
  tokens    uuid[],
  messages  text[],
  reasons   text[],
  retry_ins interval[],
  finals    boolean[]
)
returns table (id bigint, state text, run_at timestamptz)
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
-- Records a failed attempt of each job: the one place where jobs fail, whether a worker says so or a lease ran out.
--
--   ids, tokens  the leases
--   messages     what went wrong
--   reasons      error, timeout, lease_expired
--   retry_ins    how long to wait before the next attempt; null in it: the job's own backoff
--   finals       true in it: no further attempt
--
-- Returns  a row for each lease, in their order: scheduled, with the time of the next attempt; failed; cancelled (someone asked for
--          that while it ran); lease_lost.
-- Errors   none.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  return query
  with input as materialized (
    select i.*
    from unnest(fail_leases.ids, fail_leases.tokens, fail_leases.messages, fail_leases.reasons, fail_leases.retry_ins, fail_leases.finals)
      with ordinality i(id, token, message, reason, retry_in, final, ord)
    order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token
    returning r.*, i.ord, i.message, i.reason, i.retry_in, i.final
  ), verdict as materialized (
    select
      g.*,
      case when g.cancel_requested then 'cancelled' when g.final or g.attempts >= g.max_attempts then 'failed' else 'scheduled' end as state,
      v_now + coalesce(g.retry_in, pgmill.backoff(g.attempts, coalesce(g.retry_base, '1 minute'), coalesce(g.retry_max, '1 day'))) as next_run_at,
      pgmill.add_error(g.errors, g.attempts, v_now, g.reason, g.message, g.worker) as all_errors
    from gone g
  ), again as (
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.all_errors, v.created_at, v.cron, v.cron_tick
    from verdict v
    where v.state = 'scheduled'
  ), ended as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.all_errors, v.created_at, v.cron, v.cron_tick,
      v.state, v_now, v.worker, v.token, v.claimed_at
    from verdict v
    where v.state <> 'scheduled'
  ), freed as (
    delete from pgmill.job_key k using verdict v
    where v.state <> 'scheduled' and v.unique_key is not null and k.queue = any (array[v.queue]) and k.unique_key = v.unique_key
  )
  -- Grouped, not joined: with the settings above a join would compare each input with each verdict.
  select o.id, coalesce(max(o.state), 'lease_lost'), max(o.run_at)
  from (
    select i.id, i.ord, null as state, null as run_at from input i
    union all
    select v.id, v.ord, v.state, case when v.state = 'scheduled' then v.next_run_at end from verdict v
  ) o
  group by o.ord, o.id
  order by o.ord;

  perform pgmill.wake(q.queue)
  from (select distinct w.queue from pgmill.waiting w where w.id = any (fail_leases.ids)) q;
end;
$$;

comment on function pgmill.fail_leases is 'Records a failed attempt of each job.';

select pgmill.grant_execute('pgmill.fail_leases', null);
