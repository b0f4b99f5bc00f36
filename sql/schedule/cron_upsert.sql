create or replace function pgmill.cron_upsert(
  name         text,
  expression   text     default null,
  every        interval default null,
  job_name     text     default null,
  payload      jsonb    default '{}',
  timezone     text     default 'UTC',
  queue        text     default 'default',
  priority     int      default 4,
  max_attempts int      default 3,
  timeout      interval default null,
  owner        text     default 'default',
  missed       text     default 'once',
  overlap      boolean  default false,
  retry_base   interval default '1 minute',
  retry_max    interval default '1 day'
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds a schedule, or changes the one of that name. Harmless to repeat: what is as given is left alone, a tick that is due stays
-- due, what is paused stays paused. A changed expression holds at once. Jobs that were added stay.
--
--   name         the schedule's name, its own for all owners
--   expression   when: a cron expression (see cron_next)
--   every        or how often, 1 second to 10 years: first at once, then so much after the last tick, or after now when that is past
--   job_name     the name of the jobs; null: the schedule's
--   payload, queue, priority, max_attempts, timeout, retry_base, retry_max
--                of the jobs, as for add_job
--   timezone     of the expression, or of every's days and months: a name of pg_timezone_names
--   owner        who keeps it; cron_sync removes only its own owner's
--   missed       ticks that nobody fired in time: once (one job for all), skip (none, when more than a minute ago), all (one
--                each; after 1000, one for the rest)
--   overlap      false: no new job while an earlier one of the schedule has not ended; the tick is passed over (with missed
--                all: it waits)
--
-- Returns  the next tick.
-- Errors   PM001, also for a schedule of another owner; PM201 wrong expression, or one that never comes due; PM202 unknown zone.
-- Moves    nothing; tick() adds the jobs.
-- Locks    the schedule's row.
#variable_conflict use_column
declare
  v_now   constant timestamptz := clock_timestamp();
  v_tick  timestamptz;
  v_owner text;
begin
  perform pgmill.check_cron(
    cron_upsert.name, cron_upsert.owner, cron_upsert.expression, cron_upsert.every, cron_upsert.timezone, cron_upsert.missed, cron_upsert.overlap);
  perform pgmill.check_job(
    coalesce(cron_upsert.job_name, cron_upsert.name), cron_upsert.payload, cron_upsert.queue, cron_upsert.priority, null,
    cron_upsert.max_attempts, cron_upsert.timeout, cron_upsert.retry_base, cron_upsert.retry_max, null, 'skip');

  insert into pgmill.cron as c (
    name, owner, expression, every, timezone, job_name, queue, payload,
    priority, max_attempts, timeout, retry_base, retry_max, missed,
    overlap, paused, next_tick)
  values (
    cron_upsert.name, cron_upsert.owner, cron_upsert.expression, cron_upsert.every, cron_upsert.timezone,
    coalesce(cron_upsert.job_name, cron_upsert.name), cron_upsert.queue, cron_upsert.payload,
    cron_upsert.priority, cron_upsert.max_attempts, cron_upsert.timeout, cron_upsert.retry_base, cron_upsert.retry_max, cron_upsert.missed,
    cron_upsert.overlap, false, pgmill.cron_first(cron_upsert.expression, cron_upsert.every, cron_upsert.timezone, null, v_now))
  on conflict (name) do update
  set (expression, every, timezone, job_name, queue, payload, priority, max_attempts, timeout, retry_base, retry_max, missed, overlap) = (
      excluded.expression, excluded.every, excluded.timezone, excluded.job_name, excluded.queue, excluded.payload, excluded.priority,
      excluded.max_attempts, excluded.timeout, excluded.retry_base, excluded.retry_max, excluded.missed, excluded.overlap),
    next_tick = case
      -- As text, because '1 day' = '24 hours'.
      when (c.expression, c.every::text, c.timezone) is not distinct from (excluded.expression, excluded.every::text, excluded.timezone)
        or c.next_tick <= v_now  -- a tick that is due stays due
      then c.next_tick
      else pgmill.cron_first(excluded.expression, excluded.every, excluded.timezone, c.last_tick, v_now)
    end,
    error = null,
    try_at = null
  where c.owner = excluded.owner
    and (c.expression, c.every::text, c.timezone, c.job_name, c.queue, c.payload, c.priority,
        c.max_attempts, c.timeout, c.retry_base, c.retry_max, c.missed, c.overlap, c.error)
      is distinct from (
        excluded.expression, excluded.every::text, excluded.timezone, excluded.job_name, excluded.queue, excluded.payload, excluded.priority,
        excluded.max_attempts, excluded.timeout, excluded.retry_base, excluded.retry_max, excluded.missed, excluded.overlap, excluded.error)
  returning c.next_tick into v_tick;

  if v_tick is null then
    select c.next_tick, c.owner into v_tick, v_owner from pgmill.cron c where c.name = cron_upsert.name;
    if v_owner <> cron_upsert.owner then
      perform pgmill.reject('The schedule belongs to another owner.', 'Choose another name, or remove it first with cron_remove.');
    end if;
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.cron_upsert is 'Adds a schedule, or changes the one of that name.';

select pgmill.grant_execute('pgmill.cron_upsert', 'pgmill_admin');
