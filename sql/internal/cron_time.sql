create or replace function pgmill.cron_time(
  sets     bigint[],
  earliest time
)
returns time
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the first time of day that a cron expression selects.
--
--   sets      the expression, as cron_parse returned it
--   earliest  a time of day in whole seconds
--
-- Returns  the first one at or after earliest; null when the day has no more.
-- Errors   none.
declare
  v_hour    int := extract(hour from earliest);
  v_minute  int := extract(minute from earliest);
  v_second  int := extract(second from earliest);
  v_rest    bigint;
begin
  if ((sets[3] >> v_hour) & 1) = 1 then
    if ((sets[2] >> v_minute) & 1) = 1 then
      v_rest := (sets[1] >> v_second) << v_second;
      if v_rest > 0 then
        return make_time(v_hour, v_minute, pgmill.cron_lowest(v_rest));
      end if;
    end if;
    v_rest := (sets[2] >> (v_minute + 1)) << (v_minute + 1);
    if v_rest > 0 then
      return make_time(v_hour, pgmill.cron_lowest(v_rest), pgmill.cron_lowest(sets[1]));
    end if;
  end if;
  v_rest := (sets[3] >> (v_hour + 1)) << (v_hour + 1);
  if v_rest > 0 then
    return make_time(pgmill.cron_lowest(v_rest), pgmill.cron_lowest(sets[2]), pgmill.cron_lowest(sets[1]));
  end if;
  return null;
end;
$$;

comment on function pgmill.cron_time is 'Finds the first time of day that a cron expression selects.';

select pgmill.grant_execute('pgmill.cron_time', null);
