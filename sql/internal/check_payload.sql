create or replace function pgmill.check_payload(
  argument text,
  value    jsonb
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the size of a payload or a result.
--
--   argument  'payload' or 'result'
--   value     at most 1 MiB as jsonb; null passes, where it means none
--
-- Returns  nothing.
-- Errors   PM001; the message holds the size, never the value.
declare
  -- The whole of it, that is: a value that comes straight from a table may be compressed.
  v_size int := pg_column_size(check_payload.value #> '{}');
begin
  if v_size > 1048576 then
    perform pgmill.reject(
      format('%s takes %s bytes; the limit is 1 MiB.', check_payload.argument, v_size),
      'Store the data in a table or an object store and pass its key.');
  end if;
end;
$$;

comment on function pgmill.check_payload is 'Checks the size of a payload or a result.';

select pgmill.grant_execute('pgmill.check_payload', null);
