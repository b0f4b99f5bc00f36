create or replace function pgmill.claim_across(
  worker       text,
  max_jobs     int,
  queues       text[],
  names        text[],
  except_names text[],
  lease        interval
)
returns table (
  id           bigint,
  token        uuid,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  attempt      int,
  max_attempts int,
  run_at       timestamptz,
  created_at   timestamptz,
  timeout      interval,
  lease_until  timestamptz,
  cron         jsonb
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Claims the most urgent jobs over several queues, for get_jobs, which claims from one at a time.
--
--   get_jobs' parameters, checked
--
-- Returns  as get_jobs.
-- Errors   none.
-- Moves    ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
--
-- get_jobs' settings pin the plans here too.
#variable_conflict use_column
declare
  v_queues text[];
  v_takes  int[];
  v_queue  text;
begin
  -- First see how many of the most urgent jobs lie in each queue, then claim so many from each.
  -- Locking max_jobs in every queue and keeping a part would hide the rest from other workers.
  select array_agg(s.queue), array_agg(s.take) into v_queues, v_takes
  from (
    select r.queue, count(*)::int as take
    from (
      select r.queue
      from (select distinct q from unnest(claim_across.queues) q) q(queue)
      cross join lateral (
        select r.queue, r.priority, r.run_at, r.id
        from pgmill.ready r
        where r.queue = q.queue
          and (claim_across.names is null or r.name = any (claim_across.names))
          and (claim_across.except_names is null or r.name <> all (claim_across.except_names))
        order by r.priority, r.run_at, r.id
        limit claim_across.max_jobs
      ) r
      order by r.priority, r.run_at, r.id
      limit claim_across.max_jobs
    ) r
    group by r.queue
  ) s;
  if v_queues is null then
    return;
  end if;
  return query
  select c.*
  from unnest(v_queues, v_takes) s(queue, take)
  cross join lateral pgmill.get_jobs(
    claim_across.worker, s.take, array[s.queue], claim_across.names, claim_across.except_names, claim_across.lease) c
  order by c.priority, c.run_at, c.id;

  if not found then
    -- Others are just claiming all of these: take the most urgent job that nobody holds, so that a worker does not fall
    -- asleep while there is work.
    select r.queue into v_queue
    from (select distinct q from unnest(claim_across.queues) q) q(queue)
    cross join lateral (
      select r.queue, r.priority, r.run_at, r.id
      from pgmill.ready r
      where r.queue = q.queue
        and (claim_across.names is null or r.name = any (claim_across.names))
        and (claim_across.except_names is null or r.name <> all (claim_across.except_names))
      order by r.priority, r.run_at, r.id
      limit 1
      for update skip locked
    ) r
    order by r.priority, r.run_at, r.id
    limit 1;
    if found then
      return query
      select c.*
      from pgmill.get_jobs(
        claim_across.worker, 1, array[v_queue], claim_across.names, claim_across.except_names, claim_across.lease) c;
    end if;
  end if;
end;
$$;

comment on function pgmill.claim_across is 'Claims the most urgent jobs over several queues.';

select pgmill.grant_execute('pgmill.claim_across', null);
