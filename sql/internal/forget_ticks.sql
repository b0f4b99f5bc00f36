create or replace function pgmill.forget_ticks(
  name text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Removes the old ticks of a schedule: all but the last 100, those whose job has not ended, and the last completed one.
--
--   name  the schedule
--
-- Returns  nothing.
-- Errors   none.
-- Locks    the removed ticks' rows.
declare
  v_live constant bigint[] := pgmill.cron_live(forget_ticks.name);
begin
  delete from pgmill.cron_tick t
  where t.cron = forget_ticks.name
    and t.tick < (select k.tick from pgmill.cron_tick k where k.cron = forget_ticks.name order by k.tick desc limit 1 offset 99)
    and (t.completed_at is null
      or t.completed_at < (select max(k.completed_at) from pgmill.cron_tick k where k.cron = forget_ticks.name))
    and (t.job_id is null or t.job_id <> all (v_live));
end;
$$;

comment on function pgmill.forget_ticks is 'Removes the old ticks of a schedule.';

select pgmill.grant_execute('pgmill.forget_ticks', null);
