create or replace function pgmill.waiting_mark(
  queues text[]
)
returns text
language sql
stable
as $$
  -- The name of the low-water mark of `waiting` for these queues (set_mark). In SQL, and without settings of its own, so that it
  -- becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  --   queues  that are looked at together
  --
  -- Returns  a name.
  -- Errors   none.
  select 'waiting_' || (hashtext(array_to_string(waiting_mark.queues, ',')) & 2147483647)
$$;

comment on function pgmill.waiting_mark is 'The name of the low-water mark of waiting for these queues.';

select pgmill.grant_execute('pgmill.waiting_mark', null);
