create or replace function pgmill.read_jobs(
  jobs jsonb
)
returns table (
  ord bigint, name text, payload jsonb, queue text, priority int, run_at timestamptz, max_attempts int, timeout interval,
  retry_base interval, retry_max interval, unique_key text, on_duplicate text
)
language sql
stable
as $$
  -- Reads add_jobs' array, with add_job's defaults; those of retry_base and retry_max are null, as in the rooms. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's query; nobody but pgmill's functions is granted it.
  --
  --   jobs  an array of objects
  --
  -- Returns  a row for each object; ord counts from 1.
  -- Errors   those of PostgreSQL, for a value of the wrong type: check_jobs turns them into ours.
  select
    j.ord, j.name, coalesce(j.payload, '{}'), coalesce(j.queue, 'default'), coalesce(j.priority, 5), j.run_at, coalesce(j.max_attempts, 3),
    j.timeout, j.retry_base, j.retry_max, j.unique_key, coalesce(j.on_duplicate, 'skip')
  from rows from (
    jsonb_to_recordset(read_jobs.jobs) as (
      name text, payload jsonb, queue text, priority int, run_at timestamptz, max_attempts int, timeout interval,
      retry_base interval, retry_max interval, unique_key text, on_duplicate text)
  ) with ordinality as j(
    name, payload, queue, priority, run_at, max_attempts, timeout, retry_base, retry_max, unique_key, on_duplicate, ord)
$$;

comment on function pgmill.read_jobs is 'Reads the array of add_jobs, with defaults.';

select pgmill.grant_execute('pgmill.read_jobs', null);
