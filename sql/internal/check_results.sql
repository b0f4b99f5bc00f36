create or replace function pgmill.check_results(
  results jsonb,
  count   int
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the results of complete_jobs.
--
--   results  an array with one element for each job, each at most 1 MiB; not null
--   count    how many jobs there are
--
-- Returns  nothing.
-- Errors   PM001; the message never holds a result.
begin
  if jsonb_typeof(check_results.results) <> 'array' or jsonb_array_length(check_results.results) <> check_results.count then
    perform pgmill.reject('results must be an array as long as ids.', 'Give one element for each id, null for none.');
  elsif pg_column_size(check_results.results) > 1048576 or pg_column_compression(check_results.results) is not null then
    perform pgmill.check_payload('result', r) from jsonb_array_elements(check_results.results) r;
  end if;
end;
$$;

comment on function pgmill.check_results is 'Checks the results of complete_jobs.';

select pgmill.grant_execute('pgmill.check_results', null);
