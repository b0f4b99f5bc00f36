create or replace function pgmill.cron_value(
  value text,
  place int
)
returns int
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads a number, a month's name or a weekday's name of a cron expression.
--
--   value  up to four digits, or the first three letters of a name in lower case
--   place  5 month, 6 day of week; the others have no names
--
-- Returns  the number; null when it is neither.
-- Errors   none.
begin
  if value <> '' and length(value) <= 4 and ltrim(value, '0123456789') = '' then
    return value::int;
  elsif place = 5 then
    return array_position('{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}', value);
  elsif place = 6 then
    return array_position('{sun,mon,tue,wed,thu,fri,sat}', value) - 1;
  end if;
  return null;
end;
$$;

comment on function pgmill.cron_value is 'Reads a number, a month''s name or a weekday''s name of a cron expression.';

select pgmill.grant_execute('pgmill.cron_value', null);
