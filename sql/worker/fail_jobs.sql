create or replace function pgmill.fail_jobs(
  failures jsonb
)
returns table (id bigint, state text, run_at timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Records failed attempts of many jobs. A stale lease changes nothing and does not disturb the others.
--
--   failures  an array of at most 10000 objects with fail_job's parameters as keys: id, token and error, and where wanted
--             retry_in (as text: '90 seconds'), final, reason
--
-- Returns  a row for each object, in their order; see fail_job.
-- Errors   PM001 invalid_argument; then nothing has changed.
-- Moves    running -> waiting, running -> finished (failed or cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v record;
begin
  if jsonb_typeof(fail_jobs.failures) is distinct from 'array' then
    perform pgmill.reject('failures must be an array.', 'Pass a JSON array of objects, one for each job.');
  end if;
  -- The block turns the errors of the casts into ours; it only reads, so it costs no subtransaction id.
  begin
    perform pgmill.check_keys(f, '{id,token,error,retry_in,final,reason}') from jsonb_array_elements(fail_jobs.failures) f;
    select
      coalesce(array_agg(f.id order by f.ord), '{}') as ids,
      coalesce(array_agg(f.token order by f.ord), '{}') as tokens,
      array_agg(f.error order by f.ord) as errors,
      array_agg(coalesce(f.reason, 'error') order by f.ord) as reasons,
      array_agg(f.retry_in order by f.ord) as retry_ins,
      array_agg(coalesce(f.final, false) order by f.ord) as finals
    into v
    from rows from (
      jsonb_to_recordset(fail_jobs.failures) as (id bigint, token uuid, error text, retry_in interval, final boolean, reason text)
    ) with ordinality as f(id, token, error, retry_in, final, reason, ord);
  exception
    when data_exception or invalid_parameter_value then
      perform pgmill.reject('failures holds a value that is not of its parameter''s type.', 'Pass objects with fail_job''s parameters as keys.');
  end;
  perform pgmill.check_leases(v.ids, v.tokens);
  perform pgmill.check_failure(f.error, f.retry_in, f.final, f.reason)
  from unnest(v.errors, v.retry_ins, v.finals, v.reasons) f(error, retry_in, final, reason);

  return query select f.id, f.state, f.run_at from pgmill.fail_leases(v.ids, v.tokens, v.errors, v.reasons, v.retry_ins, v.finals) f;
end;
$$;

comment on function pgmill.fail_jobs is 'Records failed attempts of many jobs.';

select pgmill.grant_execute('pgmill.fail_jobs', 'pgmill_worker');
