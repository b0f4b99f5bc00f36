create or replace function pgmill.insights()
returns table (
  queue            text,
  name             text,
  ready            bigint,
  scheduled        bigint,
  retrying         bigint,
  running          bigint,
  completed        bigint,
  failed           bigint,
  cancelled        bigint,
  oldest_ready_age interval,
  average_wait     interval,
  average_run      interval
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
as $$
-- How many jobs there are, all counted in one snapshot.
--
-- Returns  a row for each queue and name that any job has, ended ones too, in their order:
--            ready             may run now
--            scheduled         run_at lies ahead (or is past, and no worker of the queue has asked since); not tried yet
--            retrying          the same, after a failed attempt
--            running, completed, failed, cancelled
--            oldest_ready_age  how long the first of the ready ones has been due; null: none is ready
--            average_wait      from run_at to the claim, over jobs that completed or failed in the last hour; null: none did
--            average_run       from the claim to the end, over the same; both are about a job's last attempt
-- Errors   none.
--
-- Each room is counted for itself, and these counts are added up; the rows are not touched twice, and payloads not at all.
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  -- A query that returns its rows directly may use parallel workers.
  return query
  select
    c.queue, c.name, sum(c.ready)::bigint, sum(c.scheduled)::bigint, sum(c.retrying)::bigint, sum(c.running)::bigint, sum(c.completed)::bigint,
    sum(c.failed)::bigint, sum(c.cancelled)::bigint, v_now - min(c.first_run_at), max(c.average_wait), max(c.average_run)
  from (
    select
      r.queue, r.name, count(*) as ready, 0 as scheduled, 0 as retrying, 0 as running, 0 as completed, 0 as failed, 0 as cancelled,
      min(r.run_at) as first_run_at, null::interval as average_wait, null::interval as average_run
    from pgmill.ready r
    group by r.queue, r.name
    union all
    select w.queue, w.name, 0, count(*) filter (where w.attempts = 0), count(*) filter (where w.attempts > 0), 0, 0, 0, 0, null, null, null
    from pgmill.waiting w
    group by w.queue, w.name
    union all
    select r.queue, r.name, 0, 0, 0, count(*), 0, 0, 0, null, null, null
    from pgmill.running r
    group by r.queue, r.name
    union all
    select
      f.queue, f.name, 0, 0, 0, 0,
      count(*) filter (where f.state = 'completed'), count(*) filter (where f.state = 'failed'), count(*) filter (where f.state = 'cancelled'), null,
      avg(f.claimed_at - f.run_at) filter (where f.finished_at > v_now - interval '1 hour' and f.state in ('completed', 'failed')),
      avg(f.finished_at - f.claimed_at) filter (where f.finished_at > v_now - interval '1 hour' and f.state in ('completed', 'failed'))
    from pgmill.finished f
    group by f.queue, f.name
  ) c
  group by c.queue, c.name
  order by c.queue, c.name;
end;
$$;

comment on function pgmill.insights is 'How many jobs there are, by queue, name and state.';

select pgmill.grant_execute('pgmill.insights', 'pgmill_observer');
