create or replace function pgmill.retry_ids(
  ids bigint[]
)
returns table (id bigint, live_id bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Gives failed and cancelled jobs fresh attempts, from now on.
--
--   ids  without nulls, each once
--
-- Returns  a row for each of them that is failed or cancelled. live_id: its own id when it is live again; else the live job that
--          holds its unique_key, and it stays as it is.
-- Errors   none.
-- Moves    finished -> ready.
-- Locks    the jobs' rows, by id; then their keys, in the order of (queue, unique_key), as add_jobs does. Waits for another
--          call that retries one of the jobs, or takes or frees one of the keys.
#variable_conflict use_column
declare
  v_now   timestamptz := clock_timestamp();
  v_ids   bigint[];
  v_taken bigint[]    := '{}';
  j       record;
begin
  select array_agg(l.id) into v_ids
  from (
    select f.id from pgmill.finished f where f.state in ('failed', 'cancelled') and f.id = any (retry_ids.ids) order by f.id for update
  ) l;

  for j in
    select f.id, f.queue, f.unique_key
    from pgmill.finished f
    where f.state in ('failed', 'cancelled') and f.id = any (v_ids)
    order by f.queue, f.unique_key, f.id
  loop
    id := j.id;
    live_id := case when j.unique_key is null then j.id else (pgmill.hold_key(j.queue, j.unique_key, j.id, 'skip')).live_id end;
    if live_id = j.id then
      v_taken := v_taken || j.id;
    end if;
    return next;
  end loop;

  for j in delete from pgmill.finished f where f.state in ('failed', 'cancelled') and f.id = any (v_taken) returning f.* loop
    perform pgmill.insert_job(
      j.id, j.queue, j.name, j.payload, j.priority, v_now, 0, j.max_attempts, j.timeout, j.retry_base, j.retry_max,
      j.unique_key, j.errors, j.created_at, j.cron, j.cron_tick);
  end loop;
end;
$$;

comment on function pgmill.retry_ids is 'Gives failed and cancelled jobs fresh attempts.';

select pgmill.grant_execute('pgmill.retry_ids', null);
