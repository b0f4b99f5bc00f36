create or replace function pgmill.check_leases(
  ids    bigint[],
  tokens uuid[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the pairs (id, token) with which a worker names the leases it holds.
--
--   ids, tokens  plain arrays of one length, at most 10000, without nulls
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_leases.ids is null or check_leases.tokens is null then
    perform pgmill.reject('ids and tokens must not be null.', 'Pass both as get_jobs returned them.');
  elsif cardinality(check_leases.ids) <> cardinality(check_leases.tokens) then
    perform pgmill.reject(
      format('There are %s ids and %s tokens.', cardinality(check_leases.ids), cardinality(check_leases.tokens)), 'Pass one token for each id, in the same order.');
  elsif cardinality(check_leases.ids) > 10000 then
    perform pgmill.reject(format('There are %s ids; the limit is 10000.', cardinality(check_leases.ids)), 'Call once for each 10000.');
  elsif array_ndims(check_leases.ids) > 1 or array_ndims(check_leases.tokens) > 1 then
    perform pgmill.reject('ids and tokens must have one dimension.', 'Pass plain arrays.');
  elsif array_position(check_leases.ids, null) is not null or array_position(check_leases.tokens, null) is not null then
    perform pgmill.reject('ids and tokens must hold no null.', 'Pass both as get_jobs returned them.');
  end if;
end;
$$;

comment on function pgmill.check_leases is 'Checks the pairs (id, token) of leases.';

select pgmill.grant_execute('pgmill.check_leases', null);
