create or replace function pgmill.cron_context(
  name text,
  tick timestamptz
)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Makes what get_jobs tells of a recurring job.
--
--   name, tick  the schedule, and the tick the job was added for
--
-- Returns  {name, expression, tick, last_completed_at}. expression is null for an interval and for a schedule that was removed;
--          last_completed_at is when a job of the schedule last succeeded, null before the first time.
-- Errors   none.
begin
  return jsonb_build_object(
    'name', cron_context.name,
    'expression', (select c.expression from pgmill.cron c where c.name = cron_context.name),
    'tick', cron_context.tick,
    'last_completed_at', (select max(t.completed_at) from pgmill.cron_tick t where t.cron = cron_context.name));
end;
$$;

comment on function pgmill.cron_context is 'Makes what get_jobs tells of a recurring job.';

select pgmill.grant_execute('pgmill.cron_context', null);
