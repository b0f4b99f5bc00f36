create or replace function pgmill.tick()
returns table (task text, changed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- All upkeep in one call. Workers call it about every second; any client may, as often as it likes, from anywhere.
-- Call it outside of a longer transaction, which would keep its locks.
--
-- Returns  a row for each task that found something to do, with how much: reclaim (jobs whose lease ran out), cron (due
--          schedules), admit (due jobs of any queue), ring (slots truncated), partitions (made). No rows: nothing to do, or
--          another session is at it.
-- Errors   none.
-- Moves    see reclaim, add_job, admit_due.
-- Locks    one advisory lock, to the end of the transaction; where another session holds it this returns at once.
--
-- While a snapshot held open elsewhere makes it slow to look for leases that ran out (see set_mark), a session that ticks more often than
-- usual does so no more often.
declare
  v_began     timestamptz := clock_timestamp();
  v_reclaimed bigint      := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('pgmill.tick', 0)) then
    return;
  end if;
  if pgmill.read_mark('tick') = '-infinity' then
    v_reclaimed := pgmill.reclaim();
    if v_reclaimed = 0 and clock_timestamp() > v_began + interval '2 ms' then
      perform pgmill.write_mark('tick', v_began, v_began + interval '700 milliseconds');
    end if;
  end if;
  return query
  select t.task, t.changed
  from (
    -- Evaluated from top to bottom: what takes table locks comes last, so that they are held for the shortest time.
    select 1 as ord, 'reclaim' as task, v_reclaimed as changed
    union all
    select 2, 'cron', pgmill.fire_due_crons()
    union all
    select 3, 'admit', pgmill.admit_all_due()
    union all
    select 4, 'partitions', pgmill.add_partitions()
    union all
    select 5, 'ring', pgmill.turn_ring()::int::bigint
  ) t
  where t.changed > 0;
end;
$$;

comment on function pgmill.tick is 'All upkeep in one call.';

select pgmill.grant_execute('pgmill.tick', 'pgmill_worker');
