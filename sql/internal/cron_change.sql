create or replace function pgmill.cron_change(
  timezone text,
  earlier  timestamptz,
  later    timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the moment between two others at which a zone's clocks are changed.
--
--   timezone        a name of pg_timezone_names
--   earlier, later  whole seconds, with different offsets from UTC
--
-- Returns  the first second that has the new offset: after earlier, and later at the latest.
-- Errors   none.
declare
  v_offset constant interval := (earlier at time zone timezone) - (earlier at time zone 'UTC');
  v_old    timestamptz := earlier;
  v_new    timestamptz := later;
  v_middle timestamptz;
begin
  while v_new - v_old > interval '1 second' loop
    v_middle := v_old + make_interval(secs => floor(extract(epoch from v_new - v_old) / 2)::int);
    if (v_middle at time zone timezone) - (v_middle at time zone 'UTC') = v_offset then
      v_old := v_middle;
    else
      v_new := v_middle;
    end if;
  end loop;
  return v_new;
end;
$$;

comment on function pgmill.cron_change is 'Finds the moment at which a zone''s clocks are changed.';

select pgmill.grant_execute('pgmill.cron_change', null);
