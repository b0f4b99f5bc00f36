create or replace function pgmill.finished_leaves()
returns table (leaf text, state text, starts timestamptz, ends timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
as $$
-- The tables that jobs end in.
--
-- Returns  a row for each, the oldest first: the day (UTC) it is for, from starts to just before ends; null: no day of its own.
-- Errors   none.
begin
  return query
  select c.relname::text, s.state, d.day::timestamptz, (d.day + 1)::timestamptz
  from unnest(array['completed', 'failed', 'cancelled']) s(state)
  join pg_inherits i on i.inhparent = format('pgmill.finished_%s', s.state)::regclass
  join pg_class c on c.oid = i.inhrelid
  cross join lateral (
    -- add_partitions gave it this name
    select case when c.relname ~ ('^finished_' || s.state || '_[0-9]{8}$') then to_date(right(c.relname, 8), 'YYYYMMDD') end as day
  ) d
  order by d.day, s.state;
end;
$$;

comment on function pgmill.finished_leaves is 'The tables that jobs end in.';

select pgmill.grant_execute('pgmill.finished_leaves', null);
