create or replace function pgmill.cancel_ids(
  ids bigint[]
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Cancels the live ones among these jobs; a running one is asked to stop.
--
--   ids  without nulls, each once
--
-- Returns  how many were cancelled or newly asked.
-- Errors   none; 55P03 when a job slipped away a hundred times (see below), which takes a miracle.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the jobs' rows, by id, room by room in the order waiting, ready, running; then the rows of their keys. Waits for
--          calls that are just moving one of the jobs.
--
-- A job may change rooms meanwhile, so whatever is still alive and was not hit is looked for again, with a new snapshot. On its way
-- forward a job cannot outrun that for long: a row that was waited for and has left `ready` is in `running` by the next statement.
-- The keys are freed last, so that whoever waits for one of them does not hold up a job that this still has to lock.
declare
  v_now    timestamptz := clock_timestamp();
  v_left   bigint[]    := cancel_ids.ids;
  v_queues text[]      := '{}';
  v_keys   text[]      := '{}';
  v_count  bigint      := 0;
  v_asked  bigint      := 0;
  v        record;
begin
  for i in 1..100 loop
    with waiting as materialized (
      select w.id from pgmill.waiting w where w.id = any (v_left) order by w.id for update
    ), ready as materialized (
      select r.slot, r.id from pgmill.ready r where r.id = any (v_left) order by r.id for update
    ), not_due as (
      delete from pgmill.waiting w using waiting l where w.id = l.id
      returning
        w.id, w.queue, w.name, w.payload, w.priority, w.run_at, w.attempts, w.max_attempts,
        w.timeout, w.retry_base, w.retry_max, w.unique_key, w.errors, w.created_at, w.cron, w.cron_tick
    ), due as (
      delete from pgmill.ready r using ready l where r.slot = l.slot and r.id = l.id
      returning
        r.id, r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
        r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick
    ), gone as materialized (
      select n.* from not_due n union all select d.* from due d  -- evaluated in this order, and with it the locks
    ), ended as (
      insert into pgmill.finished (
        id, queue, name, payload, priority, run_at, attempts, max_attempts,
        timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, state, finished_at)
      select g.*, 'cancelled', v_now from gone g
    )
    select
      count(*) as count,
      array_agg(g.queue) filter (where g.unique_key is not null) as queues,
      array_agg(g.unique_key) filter (where g.unique_key is not null) as keys
    into v
    from gone g;
    v_count := v_count + v.count;
    v_queues := v_queues || v.queues;
    v_keys := v_keys || v.keys;

    with locked as materialized (
      select r.id from pgmill.running r where r.id = any (v_left) and not r.cancel_requested order by r.id for update
    ), asked as (
      update pgmill.running r set cancel_requested = true from locked l where r.id = l.id returning 1
    )
    select v_asked + count(*) into v_asked from asked;

    select array_agg(j.id) into v_left
    from (
      select w.id from pgmill.waiting w where w.id = any (v_left)
      union all
      select r.id from pgmill.ready r where r.id = any (v_left)
      union all
      select r.id from pgmill.running r where r.id = any (v_left) and not r.cancel_requested
    ) j;
    exit when v_left is null;
  end loop;
  if v_left is not null then
    raise exception using
      errcode = '55P03',
      message = format('Job %s changed rooms each time it was about to be cancelled.', v_left[1]),
      hint = 'Nothing was cancelled. Call again.';
  end if;

  delete from pgmill.job_key k using unnest(v_queues, v_keys) f(queue, unique_key) where k.queue = f.queue and k.unique_key = f.unique_key;
  if v_asked > 0 then
    perform pg_notify('pgmill_cancel', '');
  end if;
  return v_count + v_asked;
end;
$$;

comment on function pgmill.cancel_ids is 'Cancels the live ones among these jobs.';

select pgmill.grant_execute('pgmill.cancel_ids', null);
