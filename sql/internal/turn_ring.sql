create or replace function pgmill.turn_ring()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '60ms'
as $$
-- Turns the ring of `ready`: truncates a slot that has been emptied and points inserts at it. So the dead rows that claims
-- leave behind go away at once and whole, even while a snapshot held open elsewhere forbids vacuum to touch them. Where
-- emptied slots are in use (pg_dump holds every table that it found, for as long as it runs) the ring grows by a slot instead.
--
-- Returns  whether it turned, or grew. Not while the current slot is small, nor while every other slot holds jobs, or is in use for
--          longer than 60 ms, which a claim of thousands of jobs is: the next tick tries again.
-- Errors   none.
-- Locks    the slot's table, ACCESS EXCLUSIVE, to the end of the transaction. A new slot: `ready`, SHARE UPDATE EXCLUSIVE, which
--          nobody who adds, claims or reads waits for.
--
-- Nothing is lost: whoever inserted and has not committed holds a lock on the slot's table, so under the exclusive lock all
-- that was ever put into the slot is visible. That takes a snapshot newer than the lock, hence only READ COMMITTED. An insert
-- that read the register before the turn goes into a slot that is no longer current, where it is claimed like any other.
--
-- A new slot is not pointed at before the transaction that made it has committed, so that is left to the next call; and whoever
-- inserts reads the register before its statement begins, so that the statement knows every slot the register can name.
declare
  v_current int     := pgmill.current_slot();
  v_size    bigint  := pg_relation_size(format('pgmill.ready_%s', v_current)::regclass);
  v_slots   int[];
  v_slot    int;
  v_readers text[];
  v_in_use  boolean := false;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  -- 2 MB are some 10,000 small jobs: a claim that must walk over their dead entries does so in about a millisecond.
  if v_size < 2 * 1024 * 1024 then
    return false;
  end if;

  select array_agg(s.slot order by s.slot <= v_current, s.slot) into v_slots
  from (
    select substr(c.relname, 7)::int as slot
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'pgmill.ready'::regclass
  ) s
  where s.slot <> v_current;
  foreach v_slot in array v_slots loop
    continue when exists (select from pgmill.ready r where r.slot = v_slot);
    if pgmill.read_mark('ready_' || v_slot) > '-infinity' then
      v_in_use := true;
      continue;
    end if;
    begin
      execute format('lock table only pgmill.%I in access exclusive mode', 'ready_' || v_slot);
      if exists (select from pgmill.ready r where r.slot = v_slot) then
        raise lock_not_available;  -- rolls the block back, and with it the lock
      end if;
      execute format('truncate pgmill.%I', 'ready_' || v_slot);
      perform setval('pgmill.ready_slot', v_slot);
      return true;
    exception
      when lock_not_available then
        -- Claims and adds come to an end; whoever only reads, and did so a tick ago, may take hours. Meanwhile all who need the slot
        -- wait behind the request for the lock, so this session then lets half a minute pass before another.
        v_readers := array(
          select l.virtualtransaction
          from pg_locks l
          where l.relation = format('pgmill.%I', 'ready_' || v_slot)::regclass and l.granted
          group by l.virtualtransaction
          having bool_and(l.mode = 'AccessShareLock'));
        if string_to_array(current_setting('pgmill.readers_of_' || v_slot, true), ',') && v_readers then
          v_in_use := true;
          perform pgmill.write_mark('ready_' || v_slot, 'epoch', clock_timestamp() + interval '30 seconds');
        end if;
        perform set_config('pgmill.readers_of_' || v_slot, array_to_string(v_readers, ','), false);
    end;
  end loop;

  -- Not at once, and not without end: each claim looks into every slot.
  if v_in_use and v_size >= 4 * 1024 * 1024 and cardinality(v_slots) < 11 then
    v_slot := cardinality(v_slots) + 1;
    begin
      execute format('create table pgmill.%I (like pgmill.ready, primary key (id))', 'ready_' || v_slot);
      execute format('alter table pgmill.ready attach partition pgmill.%I for values in (%s)', 'ready_' || v_slot, v_slot);
      return true;
    exception
      when lock_not_available then null;
    end;
  end if;
  return false;
end;
$$;

comment on function pgmill.turn_ring is 'Truncates an emptied slot of the ring and points inserts at it.';

select pgmill.grant_execute('pgmill.turn_ring', null);
