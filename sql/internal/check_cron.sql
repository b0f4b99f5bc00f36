create or replace function pgmill.check_cron(
  name       text,
  owner      text,
  expression text,
  every      interval,
  timezone   text,
  missed     text,
  overlap    boolean
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks what is about to become a schedule; the parameters are cron_upsert's.
--
-- Returns  nothing.
-- Errors   PM001 for the first argument that is wrong; PM201 wrong expression, or one that never comes due; PM202 unknown zone.
declare
  v_now constant timestamptz := clock_timestamp();
begin
  perform pgmill.check_text('name', check_cron.name);
  perform pgmill.check_text('owner', check_cron.owner);
  if num_nonnulls(check_cron.expression, check_cron.every) <> 1 then
    perform pgmill.reject(
      'A schedule needs either expression or every.', 'Give a cron expression such as 0 9 * * 1-5, or an interval such as 1 hour.');
  end if;
  perform pgmill.cron_zone(check_cron.timezone);
  if check_cron.every is not null then
    perform pgmill.check_interval('every', check_cron.every, '1 second', '10 years');
    if pgmill.cron_after(null, check_cron.every, check_cron.timezone, v_now) < v_now + interval '1 second' then
      perform pgmill.reject('every has parts of different signs.', 'Give an interval such as 1 hour or 2 days.');
    end if;
  else
    perform pgmill.cron_after(check_cron.expression, null, check_cron.timezone, v_now);
  end if;
  if check_cron.missed is null or check_cron.missed not in ('once', 'skip', 'all') then
    perform pgmill.reject('missed is not known.', 'Use once, skip or all.');
  end if;
  if check_cron.overlap is null then
    perform pgmill.reject('overlap must not be null.', 'Give true or false.');
  end if;
end;
$$;

comment on function pgmill.check_cron is 'Checks what is about to become a schedule.';

select pgmill.grant_execute('pgmill.check_cron', null);
