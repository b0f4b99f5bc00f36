create or replace function pgmill.extend_leases(
  ids    bigint[],
  tokens uuid[],
  lease  interval default '30 seconds'
)
returns table (id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- The heartbeat: keeps leases, and tells which jobs should stop.
--
--   ids, tokens  the leases, as get_jobs returned them; at most 10000
--   lease        from now on: 1 millisecond to 30 days
--
-- Returns  a row for each lease, in their order: extended; cancel_requested (extended too: stop soon and call fail_job, which
--          then cancels the job); lease_lost (stop at once, the job is someone else's).
-- Errors   PM001 invalid_argument.
-- Moves    nothing.
-- Locks    the jobs' rows, by id.
#variable_conflict use_column
declare
  v_until timestamptz;
begin
  perform pgmill.check_leases(extend_leases.ids, extend_leases.tokens);
  perform pgmill.check_interval('lease', extend_leases.lease, '1 millisecond', '30 days');
  v_until := clock_timestamp() + extend_leases.lease;

  return query
  with input as materialized (
    select i.id, i.token, i.ord from unnest(extend_leases.ids, extend_leases.tokens) with ordinality i(id, token, ord) order by i.id
  ), extended as (
    -- between: see get_jobs
    update pgmill.running r set lease_until = v_until from input i where r.id between i.id and i.id and r.token = i.token
    returning i.id, i.ord, case when r.cancel_requested then 'cancel_requested' else 'extended' end as outcome
  )
  -- Grouped, not joined: see fail_leases.
  select o.id, coalesce(max(o.outcome), 'lease_lost')
  from (select i.id, i.ord, null as outcome from input i union all select e.id, e.ord, e.outcome from extended e) o
  group by o.ord, o.id
  order by o.ord;
end;
$$;

comment on function pgmill.extend_leases is 'The heartbeat: keeps leases, and tells which jobs should stop.';

select pgmill.grant_execute('pgmill.extend_leases', 'pgmill_worker');
