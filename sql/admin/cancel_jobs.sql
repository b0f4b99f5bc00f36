create or replace function pgmill.cancel_jobs(
  name       text        default null,
  queue      text        default null,
  priority   int         default null,
  run_at     timestamptz default null,
  run_from   timestamptz default null,
  run_until  timestamptz default null,
  unique_key text        default null
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Cancels jobs that have not started, and asks running ones to stop; see cancel_job. Every condition that is given must hold; with none,
-- every live job is meant.
--
--   name, queue, priority  null: any
--   run_at                 exactly then; null: any
--   run_from, run_until    run_from <= run_at < run_until; null: no bound
--   unique_key             null: any
--
-- Returns  how many jobs were cancelled, or newly asked to stop. Jobs that are added or changed while this runs may be passed over.
-- Errors   PM001 invalid_argument; 40P01 when another transaction replaces several of these jobs by their unique_key just now: call again.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the jobs' rows, by id, room by room in the order waiting, ready, running; then the rows of their keys. Waits for
--          calls that are just moving one of the jobs.
declare
  v_holders bigint[];
  v_ids     bigint[];
begin
  perform pgmill.check_selection(cancel_jobs.name, cancel_jobs.queue, cancel_jobs.unique_key, cancel_jobs.run_from, cancel_jobs.run_until);
  perform pgmill.check_run_at('run_at', cancel_jobs.run_at);

  -- Who holds the key is written down; the rooms have no index on it.
  if cancel_jobs.unique_key is not null then
    v_holders := array(
      select k.id
      from pgmill.job_key k
      where k.unique_key = cancel_jobs.unique_key and (cancel_jobs.queue is null or k.queue = cancel_jobs.queue));
  end if;

  select array_agg(j.id order by j.id) into v_ids
  from pgmill.job j
  where j.state in ('scheduled', 'ready', 'running')
    and not j.cancel_requested
    and (cancel_jobs.name is null or j.name = cancel_jobs.name)
    and (cancel_jobs.queue is null or j.queue = cancel_jobs.queue)
    and (cancel_jobs.priority is null or j.priority = cancel_jobs.priority)
    and (cancel_jobs.run_at is null or j.run_at = cancel_jobs.run_at)
    and (cancel_jobs.run_from is null or j.run_at >= cancel_jobs.run_from)
    and (cancel_jobs.run_until is null or j.run_at < cancel_jobs.run_until)
    and (cancel_jobs.unique_key is null or j.id = any (v_holders));
  if v_ids is null then
    return 0;
  end if;
  return pgmill.cancel_ids(v_ids);
end;
$$;

comment on function pgmill.cancel_jobs is 'Cancels jobs, or asks them to stop when they run.';

select pgmill.grant_execute('pgmill.cancel_jobs', 'pgmill_admin');
