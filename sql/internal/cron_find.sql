create or replace function pgmill.cron_find(
  sets     bigint[],
  earliest timestamp
)
returns timestamp
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the first local time that a cron expression selects; knows nothing of time zones.
--
--   sets      the expression, as cron_parse returned it
--   earliest  a local time in whole seconds
--
-- Returns  the first one at or after earliest; null when there is none in 41 years, and so never: the
--          rarest day that can be asked for, a fifth weekday of February (29 February on a given
--          weekday), comes back within 40 years, also over a century without a leap day.
-- Errors   none.
declare
  v_first date := date_trunc('month', earliest);
  v_last  constant date := v_first + interval '41 years';
  v_day   int := extract(day from earliest);
  v_days  bigint;
  v_time  time := earliest::time;
begin
  while v_first <= v_last loop
    if ((sets[5] >> extract(month from v_first)::int) & 1) = 1 then
      v_days := (pgmill.cron_days(sets, v_first) >> v_day) << v_day;
      if ((v_days >> v_day) & 1) = 1 then
        v_time := pgmill.cron_time(sets, v_time);
        if v_time is not null then
          return v_first + (v_day - 1) + v_time;
        end if;
        v_days := v_days & ~(1::bigint << v_day);
      end if;
      if v_days > 0 then
        return v_first + (pgmill.cron_lowest(v_days) - 1) + pgmill.cron_time(sets, '00:00');
      end if;
    end if;
    v_first := v_first + interval '1 month';
    v_day := 1;
    v_time := '00:00';
  end loop;
  return null;
end;
$$;

comment on function pgmill.cron_find is 'Finds the first local time that a cron expression selects.';

select pgmill.grant_execute('pgmill.cron_find', null);
