create or replace function pgmill.find_jobs(
  state      text        default null,
  queue      text        default null,
  name       text        default null,
  unique_key text        default null,
  run_from   timestamptz default null,
  run_until  timestamptz default null,
  max_jobs   int         default 100,
  after_id   bigint      default null
)
returns setof pgmill.job
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Lists jobs by id. Every condition that is given must hold.
--
--   state                scheduled, ready, running, completed, failed or cancelled; null: any
--   queue, name          null: any
--   unique_key           null: any; several jobs that ended may have had it
--   run_from, run_until  run_from <= run_at < run_until; null: no bound
--   max_jobs             1 to 10000
--   after_id             for the next page: the last id of this one; null: from the start
--
-- Returns  the jobs in the order of their ids, with the columns of the view pgmill.job.
-- Errors   PM001 invalid_argument.
--
-- Planned anew for each call, so that a condition which is not given, and a partition which cannot match, cost nothing.
begin
  if find_jobs.state is not null and find_jobs.state not in ('scheduled', 'ready', 'running', 'completed', 'failed', 'cancelled') then
    perform pgmill.reject('state is not known.', 'Use scheduled, ready, running, completed, failed or cancelled.');
  end if;
  perform pgmill.check_selection(find_jobs.name, find_jobs.queue, find_jobs.unique_key, find_jobs.run_from, find_jobs.run_until);
  if find_jobs.max_jobs is null or find_jobs.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  return query
  select j.*
  from pgmill.job j
  where (find_jobs.state is null or j.state = find_jobs.state)
    and (find_jobs.queue is null or j.queue = find_jobs.queue)
    and (find_jobs.name is null or j.name = find_jobs.name)
    and (find_jobs.unique_key is null or j.unique_key = find_jobs.unique_key)
    and (find_jobs.run_from is null or j.run_at >= find_jobs.run_from)
    and (find_jobs.run_until is null or j.run_at < find_jobs.run_until)
    and (find_jobs.after_id is null or j.id > find_jobs.after_id)
  order by j.id
  limit find_jobs.max_jobs;
end;
$$;

comment on function pgmill.find_jobs is 'Lists jobs by id.';

select pgmill.grant_execute('pgmill.find_jobs', 'pgmill_admin');
