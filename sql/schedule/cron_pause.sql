create or replace function pgmill.cron_pause(
  name text
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Stops a schedule until cron_resume. Jobs that it added stay and are done.
--
--   name  the schedule
--
-- Returns  false when it is paused already.
-- Errors   PM001 invalid_argument, PM203 unknown_cron.
-- Moves    nothing.
-- Locks    the schedule's row.
begin
  perform pgmill.check_text('name', cron_pause.name);
  update pgmill.cron c set paused = true where c.name = cron_pause.name and not c.paused;
  if found then
    return true;
  end if;
  perform pgmill.known_cron(cron_pause.name);
  return false;
end;
$$;

comment on function pgmill.cron_pause is 'Stops a schedule until cron_resume.';

select pgmill.grant_execute('pgmill.cron_pause', 'pgmill_admin');
