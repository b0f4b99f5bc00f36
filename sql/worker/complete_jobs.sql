create or replace function pgmill.complete_jobs(
  ids     bigint[],
  tokens  uuid[],
  results jsonb   default null,
  keep    boolean default true
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
-- Ends jobs that are done. A stale lease changes nothing and does not disturb the others.
--
--   ids, tokens  the leases, as get_jobs returned them; at most 10000
--   results      what to store with each job: an array as long as ids, null in it for none; null: none for any
--   keep         false: forget the jobs instead of keeping them as completed; failures are kept all the same
--
-- Returns  a row for each lease, in their order: completed; already_completed (by this very lease, and kept);
--          lease_lost (the lease ran out and was reclaimed, or there is no such job).
-- Errors   PM001 invalid_argument.
-- Moves    running -> finished (completed), or running -> nothing.
-- Locks    the jobs' rows, by id; then the rows of their keys; then, of recurring jobs, those of their ticks.
#variable_conflict use_column
declare
  v_now    timestamptz := clock_timestamp();
  v_done   bigint[];
  v_queues text[];
  v_keys   text[];
  v_crons  text[];
  v_ticks  timestamptz[];
  v_large  bigint[];
begin
  perform pgmill.check_leases(complete_jobs.ids, complete_jobs.tokens);
  if complete_jobs.keep is null then
    perform pgmill.reject('keep must not be null.', 'Give true or false.');
  end if;
  if complete_jobs.results is not null then
    perform pgmill.check_results(complete_jobs.results, cardinality(complete_jobs.ids));
  end if;

  with input as materialized (
    -- In the order of the ids, and so are the locks: two calls with the same jobs wait, but never for each other.
    select i.id, i.token, i.ord from unnest(complete_jobs.ids, complete_jobs.tokens) with ordinality i(id, token, ord) order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token returning r.*, i.ord
  ), kept as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at, result)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick,
      'completed', v_now, g.worker, g.token, g.claimed_at, nullif(complete_jobs.results -> (g.ord - 1)::int, 'null')
    from gone g
    where complete_jobs.keep
  )
  select
    array_agg(g.ord),
    array_agg(g.queue) filter (where g.unique_key is not null), array_agg(g.unique_key) filter (where g.unique_key is not null),
    array_agg(g.cron) filter (where g.cron is not null), array_agg(g.cron_tick) filter (where g.cron is not null),
    array_agg(g.id) filter (where g.payload is null and not complete_jobs.keep)
  into v_done, v_queues, v_keys, v_crons, v_ticks, v_large
  from gone g;

  if v_keys is not null then
    delete from pgmill.job_key k using unnest(v_queues, v_keys) f(queue, unique_key)
    where k.queue = any (array[f.queue]) and k.unique_key = f.unique_key;
  end if;
  if v_crons is not null then
    update pgmill.cron_tick t set completed_at = v_now from unnest(v_crons, v_ticks) c(cron, tick)
    where t.cron = any (array[c.cron]) and t.tick = c.tick;
  end if;
  if v_large is not null then
    delete from pgmill.payload p where p.id = any (v_large);
  end if;

  if cardinality(v_done) = cardinality(complete_jobs.ids) then
    return query select i, 'completed' from unnest(complete_jobs.ids) i;
  else
    return query
    select
      i.id,
      case
        when i.ord = any (v_done) then 'completed'
        when exists (
          select from pgmill.finished f where f.id = i.id and f.token = i.token and f.state = 'completed'
        ) then 'already_completed'
        else 'lease_lost'
      end
    from unnest(complete_jobs.ids, complete_jobs.tokens) with ordinality i(id, token, ord)
    order by i.ord;
  end if;
end;
$$;

comment on function pgmill.complete_jobs is 'Ends jobs that are done.';

select pgmill.grant_execute('pgmill.complete_jobs', 'pgmill_worker');
