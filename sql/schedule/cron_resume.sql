create or replace function pgmill.cron_resume(
  name text
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Lets a paused schedule go on with its next tick from now; the ticks of the pause are not made up for. A schedule that is not
-- paused is left alone.
--
--   name  the schedule
--
-- Returns  the next tick.
-- Errors   PM001 invalid_argument, PM203 unknown_cron.
-- Moves    nothing.
-- Locks    the schedule's row.
declare
  v_now  constant timestamptz := clock_timestamp();
  v_tick timestamptz;
begin
  perform pgmill.check_text('name', cron_resume.name);
  update pgmill.cron c
  set paused = false, next_tick = pgmill.cron_first(c.expression, c.every, c.timezone, c.last_tick, v_now)
  where c.name = cron_resume.name and c.paused
  returning c.next_tick into v_tick;
  if found then
    return v_tick;
  end if;
  return pgmill.known_cron(cron_resume.name);
end;
$$;

comment on function pgmill.cron_resume is 'Lets a paused schedule go on with its next tick from now.';

select pgmill.grant_execute('pgmill.cron_resume', 'pgmill_admin');
