create or replace function pgmill.insert_job(
  id           bigint,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  run_at       timestamptz,
  attempts     int,
  max_attempts int,
  timeout      interval,
  retry_base   interval,
  retry_max    interval,
  unique_key   text,
  errors       jsonb,
  created_at   timestamptz,
  cron         text default null,
  cron_tick    timestamptz default null
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Writes one job into the room its run_at belongs to, and wakes a worker.
--
--   the columns of a job, checked by the caller
--   payload  null: it lies in pgmill.payload already; else nothing of this id does
--
-- Returns  nothing.
-- Errors   none.
-- Moves    nothing -> waiting, when run_at lies ahead; else nothing -> ready. A large payload -> pgmill.payload.
declare
  v_slot int := pgmill.current_slot();
begin
  if pgmill.is_large(insert_job.payload) then
    insert into pgmill.payload (id, payload) values (insert_job.id, insert_job.payload);
    insert_job.payload := null;
  end if;
  insert_job.retry_base := nullif(insert_job.retry_base, '1 minute');
  insert_job.retry_max := nullif(insert_job.retry_max, '1 day');
  if insert_job.run_at > clock_timestamp() then
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    values (
      insert_job.id, insert_job.queue, insert_job.name, insert_job.payload, insert_job.priority, insert_job.run_at,
      insert_job.attempts, insert_job.max_attempts, insert_job.timeout, insert_job.retry_base, insert_job.retry_max,
      insert_job.unique_key, insert_job.errors, insert_job.created_at, insert_job.cron, insert_job.cron_tick);
  else
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    values (
      insert_job.id, insert_job.queue, insert_job.name, insert_job.payload, insert_job.priority, insert_job.run_at,
      insert_job.attempts, insert_job.max_attempts, insert_job.timeout, insert_job.retry_base, insert_job.retry_max,
      insert_job.unique_key, insert_job.errors, insert_job.created_at, insert_job.cron, insert_job.cron_tick, v_slot);
  end if;
  perform pgmill.wake(insert_job.queue);
end;
$$;

comment on function pgmill.insert_job is 'Writes one job into the room its run_at belongs to.';

select pgmill.grant_execute('pgmill.insert_job', null);
