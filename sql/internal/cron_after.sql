create or replace function pgmill.cron_after(
  expression text,
  every      interval,
  timezone   text,
  tick       timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the tick after another one.
--
--   expression, every, timezone  a schedule: a cron expression, or an interval
--   tick                         the other tick
--
-- Returns  the next tick: of an interval, its months and days later by the zone's calendar, its hours and less by the clock.
-- Errors   those of cron_next; PM201 when the expression never comes due again.
declare
  v_days interval;
  v_tick timestamptz;
begin
  if every is not null then
    v_days := make_interval(
      months => (extract(year from every) * 12 + extract(month from every))::int, days => extract(day from every)::int);
    if v_days = '0' then
      return tick + every;  -- by the calendar, a time that comes twice would be the second one
    end if;
    return ((tick at time zone timezone) + v_days) at time zone timezone + (every - v_days);
  end if;
  v_tick := pgmill.cron_next(expression, tick, timezone);
  if v_tick is null then
    raise exception using errcode = 'PM201', message = 'The cron expression never comes due: no such day of the month is in its months.',
      hint = 'Give a day that exists, such as L for the last day of the month.';
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.cron_after is 'Finds the tick after another one.';

select pgmill.grant_execute('pgmill.cron_after', null);
