create or replace function pgmill.find_job(
  id bigint
)
returns setof pgmill.job
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds a job, whichever room it is in.
--
--   id  the job
--
-- Returns  one row, with the columns of the view pgmill.job; none when there is no such job (it was forgotten, or cleaned up).
-- Errors   PM001 invalid_argument.
begin
  perform pgmill.check_id(find_job.id);
  -- One statement, one snapshot: a job on its way between two rooms is seen in exactly one of them.
  return query select j.* from pgmill.job j where j.id = find_job.id;
end;
$$;

comment on function pgmill.find_job is 'Finds a job, whichever room it is in.';

select pgmill.grant_execute('pgmill.find_job', 'pgmill_admin');
