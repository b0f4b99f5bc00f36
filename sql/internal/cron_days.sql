create or replace function pgmill.cron_days(
  sets  bigint[],
  first date
)
returns bigint
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the days of one month that a cron expression selects; the month field is not looked at.
--
--   sets   the expression, as cron_parse returned it
--   first  the first day of the month
--
-- Returns  bit n set = day n is selected.
-- Errors   none.
declare
  v_length  constant int := extract(day from first + interval '1 month' - interval '1 day');
  v_weekday constant int := extract(dow from first);
  -- In every week of seven bits the ones that stay in it when the week is turned to begin on v_weekday.
  v_low     constant bigint := ((1::bigint << (7 - v_weekday)) - 1) * 270549121;
  v_all     constant bigint := (1::bigint << 35) - 1;
  v_weeks   constant bigint := sets[6] & v_all;
  v_lasts   constant bigint := sets[6] >> 35;
  v_turn    int;
  v_days    bigint := sets[4];
begin
  -- Days 1 to 7 are the first of their weekday, 8 to 14 the second, and so on.
  v_days := v_days | ((((v_weeks >> v_weekday) & v_low) | ((v_weeks << (7 - v_weekday)) & v_all & ~v_low)) << 1);
  if v_lasts > 0 then
    -- The last seven days are the last of their weekday; v_turn is the weekday of the first of them.
    v_turn := (v_weekday + v_length) % 7;
    v_days := v_days | ((((v_lasts >> v_turn) | (v_lasts << (7 - v_turn))) & 127) << (v_length - 6));
  end if;
  if (sets[4] & 1) = 1 then
    v_days := v_days | (1::bigint << v_length);
  end if;
  return v_days & ((1::bigint << (v_length + 1)) - 2);
end;
$$;

comment on function pgmill.cron_days is 'Finds the days of one month that a cron expression selects.';

select pgmill.grant_execute('pgmill.cron_days', null);
