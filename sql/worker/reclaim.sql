create or replace function pgmill.reclaim(
  max_jobs int default 1000
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Takes jobs back whose lease ran out: their worker died, hangs, or lost its connection. To the job that is an ordinary
-- failure, with the reason lease_expired.
--
--   max_jobs  1 to 10000, the longest expired first
--
-- Returns  how many.
-- Errors   PM001 invalid_argument.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the jobs' rows; passes over rows that others hold (their lease is just being extended or settled), never waits.
declare
  v_now    timestamptz := clock_timestamp();
  v_from   timestamptz := pgmill.read_mark('running');
  v_first  timestamptz;
  v_ids    bigint[];
  v_tokens uuid[];
begin
  if reclaim.max_jobs is null or reclaim.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  select r.lease_until into v_first from pgmill.running r where r.lease_until >= v_from and r.lease_until < v_now order by r.lease_until limit 1;
  if clock_timestamp() > v_now + interval '2 ms' then
    perform pgmill.set_mark('running', 'running_lease_until', v_now, coalesce(v_first, v_now));
  end if;
  if v_first is null then
    return 0;
  end if;

  select array_agg(r.id), array_agg(r.token) into v_ids, v_tokens
  from (
    select r.id, r.token
    from pgmill.running r
    where r.lease_until >= v_first and r.lease_until < v_now
    order by r.lease_until
    limit reclaim.max_jobs
    for update skip locked
  ) r;
  if v_ids is null then
    return 0;
  end if;
  perform pgmill.fail_leases(
    v_ids, v_tokens,
    array_fill('The lease ran out.'::text, array[cardinality(v_ids)]),
    array_fill('lease_expired'::text, array[cardinality(v_ids)]),
    array_fill(null::interval, array[cardinality(v_ids)]),
    array_fill(false, array[cardinality(v_ids)]));
  return cardinality(v_ids);
end;
$$;

comment on function pgmill.reclaim is 'Takes jobs back whose lease ran out.';

select pgmill.grant_execute('pgmill.reclaim', 'pgmill_worker');
