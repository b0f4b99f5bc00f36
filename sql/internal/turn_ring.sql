create or replace function pgmill.turn_ring()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '20ms'
as $$
-- Turns the ring of `ready`: truncates a slot that has been emptied and points inserts at it. So the dead rows that claims
-- leave behind go away at once and whole, even while a snapshot held open elsewhere forbids vacuum to touch them.
--
-- Returns  whether it turned. Not while the current slot is small, nor while every other slot holds jobs, or is in use for
--          longer than 20 ms: the next tick tries again.
-- Errors   none.
-- Locks    the slot's table, ACCESS EXCLUSIVE, to the end of the transaction.
--
-- Nothing is lost: whoever inserted and has not committed holds a lock on the slot's table, so under the exclusive lock all
-- that was ever put into the slot is visible. That takes a snapshot newer than the lock, hence only READ COMMITTED. An insert
-- that read the register before the turn goes into a slot that is no longer current, where it is claimed like any other.
declare
  v_current int;
  v_slot    int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  select s.last_value into v_current from pgmill.ready_slot s;
  -- 8 MB are some 30,000 small jobs: a claim that must walk over their dead entries does so in a few milliseconds.
  if pg_relation_size(format('pgmill.ready_%s', v_current)::regclass) < 8 * 1024 * 1024 then
    return false;
  end if;
  for v_slot in select (v_current + i) % 3 from generate_series(1, 2) i loop
    continue when exists (select from pgmill.ready r where r.slot = v_slot);
    begin
      execute format('lock table only pgmill.%I in access exclusive mode', 'ready_' || v_slot);
      if exists (select from pgmill.ready r where r.slot = v_slot) then
        raise lock_not_available;  -- rolls the block back, and with it the lock
      end if;
      execute format('truncate pgmill.%I', 'ready_' || v_slot);
      perform setval('pgmill.ready_slot', v_slot);
      return true;
    exception
      when lock_not_available then null;
    end;
  end loop;
  return false;
end;
$$;

comment on function pgmill.turn_ring is 'Truncates an emptied slot of the ring and points inserts at it.';

select pgmill.grant_execute('pgmill.turn_ring', null);
