create or replace function pgmill.set_mark(
  mark   text,
  index  text,
  began  timestamptz,
  lowest timestamptz
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- After a look at the low end of an index by time: sets a low-water mark for the next looks, when this one took long.
--
--   mark    its name, which is a look at the same rows every time
--   index   the index
--   began   when the look began
--   lowest  it found nothing alive before then
--
-- Returns  nothing.
-- Errors   none.
--
-- While a snapshot is held open elsewhere, the entries of rows that are gone stay in the index, and a look at its low end walks
-- over all of them. A mark is set only where that takes 2 ms, which callers know, in an index that is large enough to be the
-- reason; it lies 2 seconds lower than it might, for those who commit late. What comes in below all the same (a transaction that
-- stayed open for longer; a time moved by hand) is found by the next look at everything. Those come a hundred times as long after
-- each other as each takes, so that they cost one per cent of the time.
--
-- The mark is a setting of the session: it leaves no dead row behind, and needs no lock.
declare
  v_now   timestamptz := clock_timestamp();
  v_until timestamptz;
begin
  if pg_relation_size(format('pgmill.%I', set_mark.index)::regclass) < 256 * 1024 then
    return;
  end if;
  v_until := case
    when pgmill.read_mark(set_mark.mark) = '-infinity' then v_now + 100 * (v_now - set_mark.began)
    else to_timestamp(split_part(current_setting('pgmill.mark_' || set_mark.mark), ' ', 2)::float8)
  end;
  perform pgmill.write_mark(set_mark.mark, set_mark.lowest - interval '2 seconds', v_until);
end;
$$;

comment on function pgmill.set_mark is 'After a long look at the low end of an index: where the next ones may begin.';

select pgmill.grant_execute('pgmill.set_mark', null);
