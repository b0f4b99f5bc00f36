create or replace function pgmill.cron_lowest(
  bits bigint
)
returns int
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the lowest bit of a set.
--
--   bits  a set, not 0
--
-- Returns  the bit's number, from 0.
-- Errors   none.
begin
  return 64 - position(B'1' in (bits & -bits)::bit(64));
end;
$$;

comment on function pgmill.cron_lowest is 'Finds the lowest bit of a set.';

select pgmill.grant_execute('pgmill.cron_lowest', null);
