create or replace function pgmill.add_plain_jobs(
  jobs jsonb
)
returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- The ordinary case of add_jobs, in two thirds of the time: small jobs of one queue that are ready at once, with no settings but
-- priority and max_attempts.
--
--   jobs  as add_jobs got it
--
-- Returns  the ids, in the order of jobs; null: not such a case, or something in it is wrong, and nothing was done.
-- Errors   none.
-- Moves    nothing -> ready.
-- Locks    as wake.
declare
  v_count int;
  v_queue text;
  v_ids   bigint[];
  v_now   timestamptz := clock_timestamp();
  v_slot  int         := pgmill.current_slot();
begin
  if jsonb_typeof(add_plain_jobs.jobs) is distinct from 'array' then
    return null;
  end if;
  v_count := jsonb_array_length(add_plain_jobs.jobs);
  v_queue := coalesce(add_plain_jobs.jobs->0->>'queue', 'default');
  if v_count not between 1 and 10000 or length(v_queue) not between 1 and 255 or exists (
    select
    from jsonb_array_elements(add_plain_jobs.jobs) e(job)
    where case
        -- Whatever else is in a job, its payload is smaller than all of it.
        when jsonb_typeof(e.job) = 'object' and not pgmill.is_large(e.job) then
          e.job - '{name,payload,queue,priority,max_attempts}'::text[] = '{}'
          and length(e.job->>'name') between 1 and 255
          and coalesce(e.job->>'queue', 'default') = v_queue
          -- The casts below can fail on none of these.
          and (e.job->>'priority' is null or e.job->>'priority' ~ '^-?[0-9]{1,9}$')
          and (e.job->>'max_attempts' is null or e.job->>'max_attempts' ~ '^[1-9][0-9]{0,2}$')
      end is not true)
  then
    return null;
  end if;

  v_ids := array(select nextval('pgmill.job_id') from generate_series(1, v_count));
  insert into pgmill.ready (id, queue, name, payload, priority, run_at, attempts, max_attempts, created_at, slot)
  select
    v_ids[e.ord], v_queue, e.job->>'name', coalesce(nullif(e.job->'payload', 'null'), '{}'), coalesce((e.job->>'priority')::int, 5),
    v_now, 0, coalesce((e.job->>'max_attempts')::int, 3), v_now, v_slot
  from jsonb_array_elements(add_plain_jobs.jobs) with ordinality e(job, ord);
  perform pgmill.wake(v_queue);
  return v_ids;
end;
$$;

comment on function pgmill.add_plain_jobs is 'Adds many jobs in the ordinary case.';

select pgmill.grant_execute('pgmill.add_plain_jobs', null);
