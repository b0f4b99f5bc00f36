create or replace function pgmill.cron_remove(
  name text
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Removes a schedule. Jobs that it added stay and are done.
--
--   name  the schedule
--
-- Returns  false when there is none.
-- Errors   PM001 invalid_argument.
-- Moves    nothing.
-- Locks    the schedule's row, and those of its ticks.
begin
  perform pgmill.check_text('name', cron_remove.name);
  delete from pgmill.cron c where c.name = cron_remove.name;
  if not found then
    return false;
  end if;
  delete from pgmill.cron_tick t where t.cron = cron_remove.name;
  return true;
end;
$$;

comment on function pgmill.cron_remove is 'Removes a schedule.';

select pgmill.grant_execute('pgmill.cron_remove', 'pgmill_admin');
