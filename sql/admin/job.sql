-- Every job, whichever room it is in, with the room's name as its state. For reading in psql; the functions find_job
-- and find_jobs read it too. A job waiting to retry is scheduled, with attempts > 0.
create or replace view pgmill.job as
select
  j.id, j.state, j.queue, j.name,
  coalesce(j.payload, (select p.payload from pgmill.payload p where p.id = j.id)) as payload,
  j.priority, j.run_at, j.attempts, j.max_attempts, j.timeout,
  coalesce(j.retry_base, '1 minute') as retry_base, coalesce(j.retry_max, '1 day') as retry_max,
  j.unique_key, coalesce(j.errors, '[]') as errors, j.created_at, j.cron, j.cron_tick,
  j.worker, j.claimed_at, j.lease_until, j.cancel_requested, j.finished_at, j.result
from (
  select
    w.id, 'scheduled'::text as state, w.queue, w.name, w.payload, w.priority, w.run_at, w.attempts, w.max_attempts,
    w.timeout, w.retry_base, w.retry_max, w.unique_key, w.errors, w.created_at, w.cron, w.cron_tick,
    null::text as worker, null::timestamptz as claimed_at, null::timestamptz as lease_until, false as cancel_requested,
    null::timestamptz as finished_at, null::jsonb as result
  from pgmill.waiting w
  union all
  select
    r.id, 'ready', r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
    r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick,
    null, null, null, false, null, null
  from pgmill.ready r
  union all
  select
    r.id, 'running', r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
    r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick,
    r.worker, r.claimed_at, r.lease_until, r.cancel_requested, null, null
  from pgmill.running r
  union all
  select
    f.id, f.state, f.queue, f.name, f.payload, f.priority, f.run_at, f.attempts, f.max_attempts,
    f.timeout, f.retry_base, f.retry_max, f.unique_key, f.errors, f.created_at, f.cron, f.cron_tick,
    f.worker, f.claimed_at, null, false, f.finished_at, f.result
  from pgmill.finished f
) j;

comment on view pgmill.job is 'Every job, whichever room it is in.';
