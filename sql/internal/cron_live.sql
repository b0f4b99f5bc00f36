create or replace function pgmill.cron_live(
  name text
)
returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Finds the jobs of a schedule that have not ended.
--
--   name  the schedule
--
-- Returns  the ids of those that are scheduled (for a retry), ready or running; {} when there are none.
-- Errors   none.
--
-- The settings keep a session that planned this while the rooms were empty from reading full ones from end to end.
declare
  v_ids bigint[];
begin
  select array_agg(t.job_id) into v_ids
  from pgmill.cron_tick t
  where t.cron = cron_live.name and t.job_id is not null and t.completed_at is null;
  -- One statement: a job that moves meanwhile is seen in one room or the other.
  return array(
    select j.id from pgmill.ready j where j.id = any (v_ids)
    union all
    select j.id from pgmill.running j where j.id = any (v_ids)
    union all
    select j.id from pgmill.waiting j where j.id = any (v_ids)
  );
end;
$$;

comment on function pgmill.cron_live is 'Finds the jobs of a schedule that have not ended.';

select pgmill.grant_execute('pgmill.cron_live', null);
