create or replace function pgmill.cron_first(
  expression text,
  every      interval,
  timezone   text,
  last_tick  timestamptz,
  now        timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the tick from which a schedule goes on that was added, changed or resumed.
--
--   expression, every, timezone  the schedule
--   last_tick                    its last tick; null: none yet
--   now                          the time of the call
--
-- Returns  of an expression, the next tick from now. Of an interval, at once the first time; else the last tick and the interval,
--          or now and the interval when that is past.
-- Errors   PM201.
declare
  v_tick timestamptz;
begin
  if every is null then
    -- The clock may have been put back since the last tick: never the same tick twice.
    return pgmill.cron_after(expression, null, timezone, greatest(now, last_tick));
  elsif last_tick is null then
    return date_trunc('second', now);
  end if;
  v_tick := pgmill.cron_after(null, every, timezone, last_tick);
  return case when v_tick > now then v_tick else pgmill.cron_after(null, every, timezone, now) end;
end;
$$;

comment on function pgmill.cron_first is 'Finds the tick from which a schedule goes on.';

select pgmill.grant_execute('pgmill.cron_first', null);
