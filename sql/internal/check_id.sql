create or replace function pgmill.check_id(
  id bigint
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a job's id. Any number passes: a job that is not there is an ordinary outcome.
--
--   id  not null
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_id.id is null then
    perform pgmill.reject('id must not be null.', 'Give the id that add_job or find_jobs returned.');
  end if;
end;
$$;

comment on function pgmill.check_id is 'Checks a job''s id.';

select pgmill.grant_execute('pgmill.check_id', null);
