create or replace function pgmill.known_cron(
  name text
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses the name of a schedule that is not there.
--
--   name  the schedule
--
-- Returns  its next tick.
-- Errors   PM203 unknown_cron.
declare
  v_tick timestamptz;
begin
  select c.next_tick into v_tick from pgmill.cron c where c.name = known_cron.name;
  if not found then
    raise exception using errcode = 'PM203', message = format('There is no schedule named %s.', quote_ident(left(known_cron.name, 60))),
      hint = 'Add it with cron_upsert; find_crons lists them.';
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.known_cron is 'Refuses the name of a schedule that is not there.';

select pgmill.grant_execute('pgmill.known_cron', null);
