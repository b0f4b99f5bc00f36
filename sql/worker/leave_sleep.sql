create or replace function pgmill.leave_sleep()
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Ends enter_sleep, on the same connection: adders need not notify any more.
--
-- Returns  nothing.
-- Errors   none.
-- Locks    gives up all advisory locks of the connection, which does nothing else.
begin
  perform pg_advisory_unlock_all();
end;
$$;

comment on function pgmill.leave_sleep is 'Ends enter_sleep.';

select pgmill.grant_execute('pgmill.leave_sleep', 'pgmill_worker');
