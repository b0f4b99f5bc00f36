create or replace function pgmill.find_crons()
returns table (
  name              text,
  owner             text,
  expression        text,
  every             interval,
  timezone          text,
  job_name          text,
  queue             text,
  payload           jsonb,
  priority          int,
  max_attempts      int,
  timeout           interval,
  retry_base        interval,
  retry_max         interval,
  missed            text,
  overlap           boolean,
  paused            boolean,
  next_tick         timestamptz,
  last_tick         timestamptz,
  last_completed_at timestamptz,
  last_job_id       bigint,
  skipped           text,
  error             text
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Lists the schedules.
--
-- Returns  a row for each, by name. next_tick: null while paused. last_completed_at: when a job of it last succeeded. last_job_id: the
--          last job added. skipped: why the last tick had none (overlap, missed), null when it had one. error: why it could
--          not be fired; tried again every ten seconds.
-- Errors   none.
-- Moves    nothing.
-- Locks    none.
begin
  return query
  select
    c.name, c.owner, c.expression, c.every, c.timezone, c.job_name, c.queue, c.payload, c.priority, c.max_attempts, c.timeout,
    c.retry_base, c.retry_max, c.missed, c.overlap, c.paused, case when not c.paused then c.next_tick end, c.last_tick,
    (select max(t.completed_at) from pgmill.cron_tick t where t.cron = c.name),
    (select t.job_id from pgmill.cron_tick t where t.cron = c.name and t.job_id is not null order by t.tick desc limit 1),
    (select t.skipped from pgmill.cron_tick t where t.cron = c.name and t.tick = c.last_tick),
    c.error
  from pgmill.cron c
  order by c.name;
end;
$$;

comment on function pgmill.find_crons is 'Lists the schedules.';

select pgmill.grant_execute('pgmill.find_crons', 'pgmill_admin');
