create or replace function pgmill.check_run_at(
  argument text,
  value    timestamptz
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a point in time. Null passes: it means now, or no bound.
--
--   argument  what the caller calls it
--   value     must be finite: a job at infinity would never run, and nobody would see why
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if not isfinite(check_run_at.value) then
    perform pgmill.reject(format('%s must be a finite time.', check_run_at.argument), 'Give a timestamp, or null.');
  end if;
end;
$$;

comment on function pgmill.check_run_at is 'Checks a point in time.';

select pgmill.grant_execute('pgmill.check_run_at', null);
