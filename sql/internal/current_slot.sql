create or replace function pgmill.current_slot()
returns int
language sql
volatile
as $$
  -- The slot of `ready` that inserts go to; read it before the statement that inserts, for turn_ring may have made a new one. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  -- Returns  its number.
  -- Errors   none.
  select coalesce(pg_sequence_last_value('pgmill.ready_slot'), 0)
$$;

comment on function pgmill.current_slot is 'The slot of ready that inserts go to.';

select pgmill.grant_execute('pgmill.current_slot', null);
