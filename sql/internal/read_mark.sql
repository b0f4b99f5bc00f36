create or replace function pgmill.read_mark(
  mark text
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Tells where a look at the low end of an index by time may begin: at a mark that this session has set (set_mark).
--
--   mark  its name
--
-- Returns  nothing that is alive lies before; -infinity: look at everything.
-- Errors   none.
declare
  v_note text := current_setting('pgmill.mark_' || read_mark.mark, true);
begin
  if v_note is null or v_note = '' or to_timestamp(split_part(v_note, ' ', 2)::float8) < clock_timestamp() then
    return '-infinity';
  end if;
  return to_timestamp(split_part(v_note, ' ', 1)::float8);
end;
$$;

comment on function pgmill.read_mark is 'Where a look at the low end of an index may begin.';

select pgmill.grant_execute('pgmill.read_mark', null);
