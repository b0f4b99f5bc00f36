create or replace function pgmill.fire_due_crons()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds the jobs of all schedules that are due: a part of tick(), safe from any number of sessions at once.
--
-- A schedule that cannot be fired, because somebody wrote nonsense into its row by hand, does not stop the others: its
-- error is kept in the row (see find_crons), and it is tried again ten seconds later.
--
-- Returns  the number of jobs added.
-- Errors   none.
-- Moves    nothing -> ready.
-- Locks    the rows of the due schedules; passes over those that others hold, and never waits.
declare
  v_now   constant timestamptz := clock_timestamp();
  v_name  text;
  v_added bigint := 0;
begin
  for v_name in
    select c.name
    from pgmill.cron c
    where c.next_tick <= v_now and not c.paused and (c.try_at is null or c.try_at <= v_now)
    order by c.next_tick, c.name
    for no key update skip locked
  loop
    begin
      v_added := v_added + pgmill.fire_cron(v_name, v_now);
    exception
      when others then
        update pgmill.cron c
        set error = left(format('%s (%s)', sqlerrm, sqlstate), 500), try_at = v_now + interval '10 seconds'
        where c.name = v_name;
    end;
  end loop;
  return v_added;
end;
$$;

comment on function pgmill.fire_due_crons is 'Adds the jobs of all schedules that are due.';

select pgmill.grant_execute('pgmill.fire_due_crons', null);
