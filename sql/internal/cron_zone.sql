create or replace function pgmill.cron_zone(
  timezone text
)
returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses a time zone that is not a name of pg_timezone_names.
--
--   timezone  a name such as Europe/Amsterdam, in its exact case; abbreviations and POSIX strings such as
--             UTC+2 (two hours behind Greenwich there) are refused, though the server would take them
--
-- Returns  nothing.
-- Errors   PM001 for null; PM202 for an unknown name.
begin
  if timezone is null then
    raise exception using errcode = 'PM001', message = 'timezone must not be null.',
      hint = 'Give a name such as UTC or Europe/Amsterdam.';
  end if;
  -- Reading pg_timezone_names opens every zone's file (some 30 ms), so it was copied when pgmill was
  -- installed; only a name that the copy lacks is looked up there.
  if exists (select from pgmill.timezone where timezone.name = cron_zone.timezone)
    or exists (select from pg_timezone_names as known where known.name = cron_zone.timezone)
  then
    return;
  end if;
  raise exception using errcode = 'PM202', message = format('The time zone "%s" is not known.', left(timezone, 40)),
    hint = 'Use a name from pg_timezone_names in its exact case, such as Europe/Amsterdam; no abbreviations or offsets.';
end;
$$;

comment on function pgmill.cron_zone is 'Refuses a time zone that is not a name of pg_timezone_names.';

select pgmill.grant_execute('pgmill.cron_zone', null);
