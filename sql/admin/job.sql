-- Every job, whichever room it is in, with the room's name as its state. For reading in psql; the functions find_job
-- and find_jobs read it too. A job waiting to retry is scheduled, with attempts > 0.
create or replace view pgmill.job as
select
  w.id, 'scheduled'::text as state, w.queue, w.name,
  coalesce(w.payload, (select p.payload from pgmill.payload p where p.id = w.id)) as payload,
  w.priority, w.run_at, w.attempts, w.max_attempts, w.timeout,
  coalesce(w.retry_base, '1 minute') as retry_base, coalesce(w.retry_max, '1 day') as retry_max, w.unique_key, coalesce(w.errors, '[]') as errors, w.created_at, w.cron, w.cron_tick,
  null::text as worker, null::timestamptz as claimed_at, null::timestamptz as lease_until, false as cancel_requested,
  null::timestamptz as finished_at, null::jsonb as result
from pgmill.waiting w
union all
select
  r.id, 'ready', r.queue, r.name,
  coalesce(r.payload, (select p.payload from pgmill.payload p where p.id = r.id)),
  r.priority, r.run_at, r.attempts, r.max_attempts, r.timeout,
  coalesce(r.retry_base, '1 minute'), coalesce(r.retry_max, '1 day'), r.unique_key, coalesce(r.errors, '[]'), r.created_at, r.cron, r.cron_tick,
  null, null, null, false, null, null
from pgmill.ready r
union all
select
  r.id, 'running', r.queue, r.name,
  coalesce(r.payload, (select p.payload from pgmill.payload p where p.id = r.id)),
  r.priority, r.run_at, r.attempts, r.max_attempts, r.timeout,
  coalesce(r.retry_base, '1 minute'), coalesce(r.retry_max, '1 day'), r.unique_key, coalesce(r.errors, '[]'), r.created_at, r.cron, r.cron_tick,
  r.worker, r.claimed_at, r.lease_until, r.cancel_requested, null, null
from pgmill.running r
union all
select
  f.id, f.state, f.queue, f.name,
  coalesce(f.payload, (select p.payload from pgmill.payload p where p.id = f.id)),
  f.priority, f.run_at, f.attempts, f.max_attempts, f.timeout,
  coalesce(f.retry_base, '1 minute'), coalesce(f.retry_max, '1 day'), f.unique_key, coalesce(f.errors, '[]'), f.created_at, f.cron, f.cron_tick,
  f.worker, f.claimed_at, null, false, f.finished_at, f.result
from pgmill.finished f;

comment on view pgmill.job is 'Every job, whichever room it is in.';
