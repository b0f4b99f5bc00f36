create or replace function pgmill.check_claim(
  worker    text,
  max_jobs  int,
  lease     interval,
  unordered boolean
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Says which of get_jobs' arguments is wrong.
--
--   get_jobs' parameters
--
-- Returns  nothing, when all are right.
-- Errors   PM001.
begin
  perform pgmill.check_text('worker', check_claim.worker);
  if check_claim.max_jobs is null or check_claim.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;
  perform pgmill.check_interval('lease', check_claim.lease, '1 millisecond', '30 days');
  if check_claim.unordered is null then
    perform pgmill.reject('unordered must not be null.', 'Give true or false.');
  end if;
end;
$$;

comment on function pgmill.check_claim is 'Says which argument of get_jobs is wrong.';

select pgmill.grant_execute('pgmill.check_claim', null);
