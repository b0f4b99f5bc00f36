create or replace function pgmill.next_run_at(
  queues       text[] default '{default}',
  names        text[] default null,
  except_names text[] default null
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Tells a worker with nothing to do how long that lasts.
--
--   as for get_jobs
--
-- Returns  when the earliest scheduled job that get_jobs would then return is due, by the database's clock (past: it is due);
--          null: none is scheduled.
-- Errors   PM001 invalid_argument.
declare
  v_from timestamptz := pgmill.read_mark(pgmill.waiting_mark(next_run_at.queues));
begin
  perform pgmill.check_filters(next_run_at.queues, next_run_at.names, next_run_at.except_names);
  return (
    select min(e.run_at)
    from unnest(next_run_at.queues) q(queue)
    cross join lateral (
      select w.run_at
      from pgmill.waiting w
      where w.queue = q.queue and w.run_at >= v_from
        and (next_run_at.names is null or w.name = any (next_run_at.names))
        and (next_run_at.except_names is null or w.name <> all (next_run_at.except_names))
      order by w.run_at
      limit 1
    ) e
  );
end;
$$;

comment on function pgmill.next_run_at is 'When the earliest scheduled job is due.';

select pgmill.grant_execute('pgmill.next_run_at', 'pgmill_worker');
