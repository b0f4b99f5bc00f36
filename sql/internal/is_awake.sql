create or replace function pgmill.is_awake(
  queue text
)
returns boolean
language sql
volatile
as $$
  -- Whether no worker sleeps that wants jobs of the queue; then none falls asleep before this transaction has ended. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  --   queue  that a job was put into
  --
  -- Returns  false: wake must be called.
  -- Errors   none.
  -- Locks    as wake.
  select pg_try_advisory_xact_lock_shared(hashtext('pgmill'), hashtext(is_awake.queue) & 63)
$$;

comment on function pgmill.is_awake is 'Whether no worker sleeps that wants jobs of the queue.';

select pgmill.grant_execute('pgmill.is_awake', null);
