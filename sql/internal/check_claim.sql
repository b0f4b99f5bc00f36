create or replace function pgmill.check_claim(
  worker       text,
  max_jobs     int,
  queues       text[],
  names        text[],
  except_names text[],
  lease        interval,
  unordered    boolean
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks get_jobs' arguments.
--
--   get_jobs' parameters
--
-- Returns  nothing.
-- Errors   PM001 for the first that is wrong.
begin
  perform pgmill.check_filters(check_claim.queues, check_claim.names, check_claim.except_names);
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

comment on function pgmill.check_claim is 'Checks get_jobs'' arguments.';

select pgmill.grant_execute('pgmill.check_claim', null);
