create or replace function pgmill.fire_cron(
  name text,
  now  timestamptz
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds the jobs of one schedule that are due, and moves it to its next tick.
--
--   name  the schedule
--   now   the time of the call
--
-- missed is for ticks that nobody fired in time. once: one job, for the latest. skip: none for a tick more than a minute
-- ago. all: one for each; after 1000 in one call, one for the rest. A schedule without overlap passes over a tick
-- while an earlier job of it has not ended; with all, it waits for that job instead.
--
-- Returns  the number of jobs added.
-- Errors   those of add_job and cron_next, when somebody wrote a bad row by hand.
-- Moves    nothing -> ready.
-- Locks    the schedule's row.
declare
  r         pgmill.cron;
  v_tick    timestamptz;
  v_next    timestamptz;
  v_last    timestamptz;
  v_skipped text;
  v_id      bigint;
  v_ticks   int    := 0;
  v_added   bigint := 0;
begin
  -- Whoever holds the lock sees the last tick; the others find next_tick moved on.
  select c.* into r from pgmill.cron c where c.name = fire_cron.name and c.next_tick <= fire_cron.now and not c.paused for no key update;
  if not found then
    return 0;
  end if;
  perform pgmill.check_job(
    r.job_name, r.payload, r.queue, r.priority, null, r.max_attempts, r.timeout, r.retry_base, r.retry_max, null, 'skip');
  perform pgmill.check_cron(r.name, r.owner, r.expression, r.every, r.timezone, r.missed, r.overlap);

  v_tick := r.next_tick;
  if r.expression is not null and r.missed <> 'all' then
    v_tick := pgmill.cron_latest(r.expression, r.timezone, v_tick, fire_cron.now);
  end if;
  while v_tick <= fire_cron.now loop
    v_skipped := case
      when not r.overlap and pgmill.cron_live(r.name) <> '{}' then 'overlap'
      when r.missed = 'skip' and v_tick < fire_cron.now - interval '1 minute' then 'missed'
    end;
    exit when v_skipped = 'overlap' and r.missed = 'all';

    v_ticks := v_ticks + 1;
    v_next := pgmill.cron_after(r.expression, r.every, r.timezone, v_tick);
    if v_next <= fire_cron.now and (r.missed <> 'all' or v_ticks >= 1000) then
      v_next := case
        when r.every is not null then pgmill.cron_after(null, r.every, r.timezone, fire_cron.now)
        else pgmill.cron_latest(r.expression, r.timezone, v_next, fire_cron.now)
      end;
    end if;

    v_id := case when v_skipped is null then nextval('pgmill.job_id') end;
    insert into pgmill.cron_tick (cron, tick, job_id, skipped) values (r.name, v_tick, v_id, v_skipped) on conflict do nothing;
    if found and v_id is not null then
      perform pgmill.insert_job(
        v_id, r.queue, r.job_name, r.payload, r.priority, fire_cron.now, 0, r.max_attempts,
        r.timeout, r.retry_base, r.retry_max, null, null, fire_cron.now, r.name, v_tick);
      v_added := v_added + 1;
    end if;
    v_last := v_tick;
    v_tick := v_next;
  end loop;

  if v_last is not null then
    update pgmill.cron c set next_tick = v_tick, last_tick = v_last, error = null, try_at = null
    where c.name = r.name and c.next_tick = r.next_tick;
    perform pgmill.forget_ticks(r.name);
  end if;
  return v_added;
end;
$$;

comment on function pgmill.fire_cron is 'Adds the jobs of one schedule that are due.';

select pgmill.grant_execute('pgmill.fire_cron', null);
