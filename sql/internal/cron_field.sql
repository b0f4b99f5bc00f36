create or replace function pgmill.cron_field(
  field text,
  place int
)
returns bigint
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads one field of a cron expression into a set of bits. No regular expressions: they cost ten times as much.
--
--   field  the field's text in lower case: a list of *, ?, a, a-b, each with an optional /step, and L, 5L, 1#2
--   place  1 second, 2 minute, 3 hour, 4 day of month, 5 month, 6 day of week
--
-- Returns  bit n set = the value n is selected. Day of month: bit 0 = the last day (L). Day of week: bit
--          7 * (week - 1) + day for day 0 (Sunday) to 6 in week 1 to 5; bit 35 + day for the last one (5L).
-- Errors   PM201 naming the field.
declare
  v_min   constant int := ('{0,0,0,1,1,0}'::int[])[place];
  v_max   constant int := ('{59,59,23,31,12,7}'::int[])[place];
  v_item  text;
  v_parts text[];
  v_week  int;
  v_step  int;
  v_from  int;
  v_to    int;
  v_bits  bigint := 0;
begin
  foreach v_item in array string_to_array(field, ',') loop
    if place = 4 and v_item = 'l' then
      v_bits := v_bits | 1;
      continue;
    end if;

    -- The week: null is every one, 6 the last one; 0 here and below stands for what cannot be read.
    v_week := null;
    v_step := 1;
    v_parts := string_to_array(v_item, '/');
    if cardinality(v_parts) = 2 then
      v_step := coalesce(pgmill.cron_value(v_parts[2], null), 0);
    elsif place = 6 and v_item like '%l' then
      v_week := 6;
      v_parts[1] := left(v_item, -1);
    elsif place = 6 and v_item like '%#_' then
      v_week := coalesce(strpos('12345', right(v_item, 1)), 0);
      v_parts[1] := left(v_item, -2);
    end if;

    if v_parts[1] in ('*', '?') and v_week is null then
      v_from := v_min;
      v_to := v_max;
    else
      v_from := pgmill.cron_value(split_part(v_parts[1], '-', 1), place);
      v_to := case
        when strpos(v_parts[1], '-') > 0 then pgmill.cron_value(substr(v_parts[1], strpos(v_parts[1], '-') + 1), place)
        when cardinality(v_parts) = 2 then v_max
        else v_from
      end;
    end if;

    if cardinality(v_parts) > 2 or v_step < 1 or v_week < 1 or (v_week > 0 and v_parts[1] like '%-%')
      or v_from is null or v_to is null or v_from > v_to or v_from < v_min or v_to > v_max
    then
      perform pgmill.cron_refuse(v_item, place);
    end if;

    for v_value in v_from..v_to by v_step loop
      v_bits := v_bits | case
        when place < 6 then 1::bigint << v_value
        when v_week is null then 270549121::bigint << (v_value % 7)  -- in all five weeks
        else 1::bigint << (7 * (v_week - 1) + v_value % 7)
      end;
    end loop;
  end loop;
  return v_bits;
end;
$$;

comment on function pgmill.cron_field is 'Reads one field of a cron expression into a set of bits.';

select pgmill.grant_execute('pgmill.cron_field', null);
