create or replace function pgmill.retry_jobs(
  name      text        default null,
  queue     text        default null,
  state     text        default null,
  run_from  timestamptz default null,
  run_until timestamptz default null,
  max_jobs  int         default 1000
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Runs failed and cancelled jobs again; see retry_job. Every condition that is given must hold.
--
--   name, queue          null: any
--   state                failed or cancelled; null: both
--   run_from, run_until  run_from <= run_at < run_until; null: no bound
--   max_jobs             1 to 10000, those with the lowest ids first
--
-- Returns  how many; call again until it is 0. A job whose unique_key a live job holds is passed over, so of several with one
--          unique_key the first comes back.
-- Errors   PM001 invalid_argument.
-- Moves    finished -> ready.
-- Locks    the jobs' rows, by id; then the rows of their keys. Waits for calls that take or free one of the keys.
declare
  v_ids bigint[];
begin
  perform pgmill.check_selection(retry_jobs.name, retry_jobs.queue, null, retry_jobs.run_from, retry_jobs.run_until);
  if retry_jobs.state is not null and retry_jobs.state not in ('failed', 'cancelled') then
    perform pgmill.reject('state is not known.', 'Use failed or cancelled; null means both.');
  end if;
  if retry_jobs.max_jobs is null or retry_jobs.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  select array_agg(p.id) into v_ids
  from (
    select f.id
    from pgmill.finished f
    where f.state in ('failed', 'cancelled')
      and (retry_jobs.state is null or f.state = retry_jobs.state)
      and (retry_jobs.name is null or f.name = retry_jobs.name)
      and (retry_jobs.queue is null or f.queue = retry_jobs.queue)
      and (retry_jobs.run_from is null or f.run_at >= retry_jobs.run_from)
      and (retry_jobs.run_until is null or f.run_at < retry_jobs.run_until)
      and (f.unique_key is null or not exists (
        select from pgmill.job_key k where k.queue = f.queue and k.unique_key = f.unique_key))
    order by f.id
    limit retry_jobs.max_jobs
  ) p;
  return (select count(*) from pgmill.retry_ids(v_ids) r where r.live_id = r.id);
end;
$$;

comment on function pgmill.retry_jobs is 'Runs failed and cancelled jobs again.';

select pgmill.grant_execute('pgmill.retry_jobs', 'pgmill_admin');
