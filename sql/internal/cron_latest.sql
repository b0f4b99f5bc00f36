create or replace function pgmill.cron_latest(
  expression text,
  timezone   text,
  tick       timestamptz,
  now        timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the latest tick that is due, in a few steps even when a schedule of every second was left alone for years.
--
--   expression, timezone  the schedule
--   tick                  a tick that is due
--   now                   the time of the call
--
-- Returns  the last tick up to now.
-- Errors   those of cron_next.
declare
  v_tick   timestamptz := tick;
  v_until  timestamptz := now;
  v_middle timestamptz;
  v_next   timestamptz;
begin
  loop
    v_next := pgmill.cron_next(expression, v_tick, timezone);
    exit when v_next > now or v_next is null;
    -- Two ticks or more are left: is there one in the later half?
    v_middle := v_next + (v_until - v_next) / 2;
    v_tick := v_next;
    v_next := pgmill.cron_next(expression, v_middle, timezone);
    if v_next <= now then
      v_tick := v_next;
    else
      v_until := v_middle;
    end if;
  end loop;
  return v_tick;
end;
$$;

comment on function pgmill.cron_latest is 'Finds the latest tick that is due.';

select pgmill.grant_execute('pgmill.cron_latest', null);
