create or replace function pgmill.admit_due(
  queues   text[],
  due      timestamptz,
  max_jobs int
)
returns bigint
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
-- Lets jobs in whose time has come.
--
--   queues    of these queues
--   due       with a run_at up to this
--   max_jobs  at most so many of each queue, the earliest first
--
-- Returns  how many.
-- Errors   none.
-- Moves    waiting -> ready.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
declare
  v_began timestamptz := clock_timestamp();
  v_mark  text        := pgmill.waiting_mark(admit_due.queues);
  v_from  timestamptz := pgmill.read_mark(v_mark);
  v_first timestamptz;
  v_slot  int         := pgmill.current_slot();
  v_count bigint;
begin
  select min(e.run_at) into v_first
  from unnest(admit_due.queues) q(queue)
  cross join lateral (
    select w.run_at
    from pgmill.waiting w
    where w.queue = q.queue and w.run_at >= v_from and w.run_at <= admit_due.due
    order by w.run_at
    limit 1
  ) e;
  if clock_timestamp() > v_began + interval '2 ms' then
    perform pgmill.set_mark(v_mark, 'waiting_queue_run_at', v_began, coalesce(v_first, admit_due.due));
  end if;
  if v_first is null then
    return 0;
  end if;

  with picked as materialized (
    select w.id
    from unnest(admit_due.queues) q(queue)
    cross join lateral (
      select w.id
      from pgmill.waiting w
      where w.queue = q.queue and w.run_at >= v_first and w.run_at <= admit_due.due
      order by w.run_at
      limit admit_due.max_jobs
      for update skip locked
    ) w
  ), gone as (
    -- between: see get_jobs
    delete from pgmill.waiting w using picked p where w.id between p.id and p.id returning w.*
  ), admitted as (
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick, v_slot
    from gone g
    returning 1
  )
  select count(*) into v_count from admitted;
  return v_count;
end;
$$;

comment on function pgmill.admit_due is 'Lets jobs in whose time has come.';

select pgmill.grant_execute('pgmill.admit_due', null);
