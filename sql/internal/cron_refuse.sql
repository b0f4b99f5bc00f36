create or replace function pgmill.cron_refuse(
  item  text,
  place int
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Raises the error for a wrong field of a cron expression.
--
--   item   the part of the field that cannot be read
--   place  1 second, 2 minute, 3 hour, 4 day of month, 5 month, 6 day of week
--
-- Returns  never.
-- Errors   PM201 naming the field.
declare
  v_names constant text[] := '{second,minute,hour,day-of-month,month,day-of-week}';
  v_hints constant text[] := array[
    'Use 0 to 59',
    'Use 0 to 59',
    'Use 0 to 23',
    'Use 1 to 31, or L for the last day',
    'Use 1 to 12 or jan to dec',
    'Use 0 to 7 (0 and 7 are Sunday) or sun to sat; 5L is the last Friday of the month, 1#2 its second Monday'
  ];
begin
  raise exception using
    errcode = 'PM201',
    message = format('The %s field of the cron expression is wrong at "%s".', v_names[place], left(item, 40)),
    hint = v_hints[place] || '; * for all, a-b with the smaller value first, /n for every n-th, commas between.';
end;
$$;

comment on function pgmill.cron_refuse is 'Raises the error for a wrong field of a cron expression.';

select pgmill.grant_execute('pgmill.cron_refuse', null);
