create or replace function pgmill.update_job(
  id           bigint,
  payload      jsonb       default null,
  priority     int         default null,
  run_at       timestamptz default null,
  max_attempts int         default null,
  timeout      interval    default null,
  retry_base   interval    default null,
  retry_max    interval    default null
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Changes a job that waits for its time, for a retry or for a worker.
--
--   id            the job
--   payload, priority, run_at, max_attempts, timeout, retry_base, retry_max
--                 as for add_job; null: leave as it is, so a timeout can be changed but not taken away
--   run_at        past: now
--   max_attempts  must leave the job at least one more attempt
--
-- Returns  false when there is no such job, or it has ended.
-- Errors   PM001 invalid_argument; PM005 job_running.
-- Moves    waiting or ready -> waiting, when run_at lies ahead; else -> ready.
-- Locks    the job's row. Waits for a call that is just moving the job.
declare
  v_now  timestamptz := clock_timestamp();
  v_room text;
  j      record;
begin
  perform pgmill.check_id(update_job.id);
  -- What is not given is checked in the guise of something good.
  perform pgmill.check_job(
    'any', coalesce(update_job.payload, '{}'), 'any', coalesce(update_job.priority, 0), update_job.run_at, coalesce(update_job.max_attempts, 1),
    update_job.timeout, coalesce(update_job.retry_base, '0'), coalesce(update_job.retry_max, '0'), null, 'skip');

  for i in 1..100 loop
    delete from pgmill.waiting w where w.id = update_job.id returning w.* into j;
    if not found then
      delete from pgmill.ready r where r.id = update_job.id returning r.* into j;
    end if;
    if found then
      if update_job.max_attempts <= j.attempts then
        perform pgmill.reject(
          format('max_attempts is %s, and as many attempts are charged already.', update_job.max_attempts), format('Give at least %s.', j.attempts + 1));
      end if;
      if update_job.payload is not null and j.payload is null then
        delete from pgmill.payload p where p.id = j.id;
      end if;
      perform pgmill.insert_job(
        j.id, j.queue, j.name, coalesce(update_job.payload, j.payload), coalesce(update_job.priority, j.priority),
        case when update_job.run_at is null then j.run_at else greatest(update_job.run_at, v_now) end,
        j.attempts, coalesce(update_job.max_attempts, j.max_attempts), coalesce(update_job.timeout, j.timeout),
        coalesce(update_job.retry_base, j.retry_base), coalesce(update_job.retry_max, j.retry_max),
        j.unique_key, j.errors, j.created_at, j.cron, j.cron_tick);
      return true;
    end if;

    select r.room into v_room
    from (
      select 'running' as room from pgmill.running r where r.id = update_job.id
      union all
      select 'waiting' from pgmill.waiting w where w.id = update_job.id
      union all
      select 'ready' from pgmill.ready r where r.id = update_job.id
    ) r;
    if v_room is null then
      return false;
    end if;
    exit when v_room = 'running';
    -- It came back from running, or from ready to waiting, between two of these statements: look again.
  end loop;
  raise exception using
    errcode = 'PM005',
    message = format('Job %s is running.', update_job.id),
    hint = 'Call again when the attempt has ended, or cancel the job and add another.';
end;
$$;

comment on function pgmill.update_job is 'Changes a job that is not running.';

select pgmill.grant_execute('pgmill.update_job', 'pgmill_admin');
