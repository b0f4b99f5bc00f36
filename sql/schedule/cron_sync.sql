create or replace function pgmill.cron_sync(
  owner text,
  crons jsonb
)
returns table (name text, next_tick timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Makes the schedules of an owner what a list says: adds, changes and removes. All of it or, when one is wrong, nothing. Run it at
-- each start of an application: what is as given is left alone (see cron_upsert), and other owners' schedules are too.
--
--   owner  whose list it is, the application's name for one
--   crons  an array of objects with cron_upsert's parameters as keys, durations as text ('90 seconds'); a key that is left
--          out or null has cron_upsert's default, an unknown key is refused. [] removes all
--
-- Returns  the owner's schedules, by name.
-- Errors   PM001, PM201, PM202, with the schedule's name.
-- Moves    nothing.
-- Locks    the schedules' rows, by name.
#variable_conflict use_column
declare
  v_names text[];
  v_item  jsonb;
  v_hint  text;
begin
  v_names := pgmill.cron_names(cron_sync.owner, cron_sync.crons);

  -- In one order, so that two calls wait but never deadlock.
  perform from pgmill.cron c where c.owner = cron_sync.owner or c.name = any (v_names) order by c.name for update;
  perform pgmill.cron_remove(c.name) from pgmill.cron c where c.owner = cron_sync.owner and c.name <> all (v_names);

  for v_item in select e from jsonb_array_elements(cron_sync.crons) e order by e ->> 'name' loop
    begin
      perform pgmill.put_cron(cron_sync.owner, v_item);
    exception
      when sqlstate 'PM001' or sqlstate 'PM201' or sqlstate 'PM202' then
        get stacked diagnostics v_hint = pg_exception_hint;
        raise exception using
          errcode = sqlstate, message = format('Schedule %s: %s', quote_ident(left(v_item ->> 'name', 60)), sqlerrm), hint = v_hint;
    end;
  end loop;

  return query select c.name, c.next_tick from pgmill.cron c where c.owner = cron_sync.owner order by c.name;
end;
$$;

comment on function pgmill.cron_sync is 'Makes the schedules of an owner what a list says.';

select pgmill.grant_execute('pgmill.cron_sync', 'pgmill_admin');
