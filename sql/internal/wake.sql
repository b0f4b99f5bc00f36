create or replace function pgmill.wake(
  queue text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Tells sleeping workers that there is work, and costs next to nothing while none sleeps.
--
--   queue  the queue that a job was put into
--
-- Returns  nothing.
-- Errors   none.
-- Locks    the wake lock of the queue, shared, to the end of the transaction; never waits. There are 64 of them, so that
--          a transaction that adds to thousands of queues does not fill the server's lock table.
--
-- A worker about to sleep takes the wake lock exclusively (enter_sleep). While one waits for it or holds it, the try
-- below fails and this transaction notifies. The worker is granted the lock only when every transaction that did
-- not notify has committed, and then looks once more: so no job is overlooked, and a busy system never notifies.
begin
  if not pgmill.is_awake(wake.queue) then
    -- One empty payload: PostgreSQL folds equal notifications of a transaction into one.
    perform pg_notify('pgmill', '');
  end if;
end;
$$;

comment on function pgmill.wake is 'Tells sleeping workers that there is work.';

select pgmill.grant_execute('pgmill.wake', null);
