create or replace function pgmill.cron_check(
  expression text,
  timezone   text
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses a cron expression that is wrong or never comes due.
--
--   expression  as for cron_next
--   timezone    as for cron_next
--
-- Returns  nothing.
-- Errors   PM001 for null; PM201 wrong expression, or one that never comes due; PM202 unknown zone.
begin
  if pgmill.cron_next(expression, clock_timestamp(), timezone) is null then
    raise exception using errcode = 'PM201', message = 'The cron expression never comes due: its day-of-month field has no day in its months.',
      hint = 'Give a day that exists, such as L for the last day of the month.';
  end if;
end;
$$;

comment on function pgmill.cron_check is 'Refuses a cron expression that is wrong or never comes due.';

select pgmill.grant_execute('pgmill.cron_check', null);
