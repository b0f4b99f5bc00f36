create or replace function pgmill.write_mark(
  mark   text,
  lowest timestamptz,
  until  timestamptz
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Notes a mark that read_mark reads, in a setting of the session.
--
--   mark    its name
--   lowest  what it says
--   until   it holds until then
--
-- Returns  nothing.
-- Errors   none.
begin
  perform set_config('pgmill.mark_' || write_mark.mark, extract(epoch from write_mark.lowest) || ' ' || extract(epoch from write_mark.until), false);
end;
$$;

comment on function pgmill.write_mark is 'Notes a mark that read_mark reads.';

select pgmill.grant_execute('pgmill.write_mark', null);
