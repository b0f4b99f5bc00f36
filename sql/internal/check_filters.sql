create or replace function pgmill.check_filters(
  queues       text[],
  names        text[],
  except_names text[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks which queues and names a worker asks for.
--
--   queues        not null, at least one; each list at most 10000
--   names         null: any name; an empty list matches nothing
--   except_names  null: none left out; not together with names
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_filters.queues is null or cardinality(check_filters.queues) = 0 then
    perform pgmill.reject('queues must hold at least one queue.', 'Leave queues out to work on the queue "default".');
  elsif greatest(cardinality(check_filters.queues), cardinality(check_filters.names), cardinality(check_filters.except_names)) > 10000 then
    perform pgmill.reject('queues, names and except_names hold at most 10000 names each.', 'Ask for fewer.');
  elsif greatest(array_ndims(check_filters.queues), array_ndims(check_filters.names), array_ndims(check_filters.except_names)) > 1 then
    perform pgmill.reject('queues, names and except_names must have one dimension.', 'Pass plain arrays.');
  elsif array_position(check_filters.queues, null) is not null or array_position(check_filters.queues, '') is not null then
    perform pgmill.reject('queues must hold no null and no empty name.', 'Remove it.');
  elsif check_filters.names is not null and check_filters.except_names is not null then
    perform pgmill.reject('names and except_names exclude each other.', 'Give one of them.');
  elsif array_position(check_filters.names, null) is not null then
    perform pgmill.reject('names must hold no null.', 'Remove it; names => null means any name.');
  elsif array_position(check_filters.except_names, null) is not null then
    perform pgmill.reject('except_names must hold no null.', 'Remove it.');
  end if;
end;
$$;

comment on function pgmill.check_filters is 'Checks which queues and names a worker asks for.';

select pgmill.grant_execute('pgmill.check_filters', null);
