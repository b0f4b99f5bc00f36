create or replace function pgmill.cleanup(
  completed_after interval default '5 days',
  failed_after    interval default '30 days',
  cancelled_after interval default '5 days'
)
returns table (state text, removed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
as $$
-- Forgets jobs that ended long enough ago. Call it every hour or day, outside of a longer transaction, which would keep its locks.
--
--   completed_after, failed_after, cancelled_after
--     how long to keep jobs after they ended so: 0 to 36600 days, a hundred years
--
-- Returns  three rows: how many jobs it removed of each state. A day (UTC) that is old as a whole is dropped at once, with all its
--          jobs; others are deleted, at most 100,000 of each state in one call: call again while it removes as many.
-- Errors   PM001 invalid_argument.
-- Locks    see delete_ended and drop_days: never holds up other calls for much longer than 100 ms. Days in use are left for
--          the next call.
declare
  v_states  text[]        := array['completed', 'failed', 'cancelled'];
  v_now     timestamptz   := clock_timestamp();
  v_befores timestamptz[];
  v_removed bigint[];
begin
  perform pgmill.check_interval('completed_after', cleanup.completed_after, '0', '36600 days');
  perform pgmill.check_interval('failed_after', cleanup.failed_after, '0', '36600 days');
  perform pgmill.check_interval('cancelled_after', cleanup.cancelled_after, '0', '36600 days');

  -- Never in the future, which '-1 year 360 days' would be: it compares as zero.
  v_befores := array(
    select least(v_now, v_now - a.age)
    from unnest(array[cleanup.completed_after, cleanup.failed_after, cleanup.cancelled_after]) with ordinality a(age, ord)
    order by a.ord);

  -- Deletes first: what is dropped stays locked to the end.
  v_removed := array(
    select pgmill.delete_ended(s.state, s.before) from unnest(v_states, v_befores) with ordinality s(state, before, ord) order by s.ord);

  return query
  select s.state, s.removed + coalesce(sum(d.removed), 0)::bigint
  from unnest(v_states, v_removed) with ordinality s(state, removed, ord)
  left join pgmill.drop_days(v_states, v_befores) d on d.state = s.state
  group by s.state, s.removed, s.ord
  order by s.ord;
end;
$$;

comment on function pgmill.cleanup is 'Forgets jobs that ended long enough ago.';

select pgmill.grant_execute('pgmill.cleanup', 'pgmill_admin');
