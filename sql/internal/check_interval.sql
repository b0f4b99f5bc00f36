create or replace function pgmill.check_interval(
  argument text,
  value    interval,
  shortest interval,
  longest  interval
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a duration.
--
--   argument           what the caller calls it
--   value              null is refused: callers check only what was given
--   shortest, longest  the bounds, both allowed
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_interval.value is null then
    perform pgmill.reject(format('%s must not be null.', check_interval.argument), 'Leave it out to get the default.');
  elsif check_interval.value < check_interval.shortest or check_interval.value > check_interval.longest or not isfinite(check_interval.value) then
    perform pgmill.reject(
      format('%s is out of range.', check_interval.argument),
      format('Give %s between %s and %s.', check_interval.argument, check_interval.shortest, check_interval.longest));
  end if;
end;
$$;

comment on function pgmill.check_interval is 'Checks a duration.';

select pgmill.grant_execute('pgmill.check_interval', null);
