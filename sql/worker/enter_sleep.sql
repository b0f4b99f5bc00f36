create or replace function pgmill.enter_sleep(
  queues text[]
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '5s'
as $$
-- Asks for a notification (channel pgmill) whenever a job is put into one of the queues. From the call on, adders notify;
-- once it returns, every job added without one is visible: look for jobs once more, then sleep. On a connection of its own:
-- not the one that listens, which would hear nothing while this waits, and not one from a transaction pooler.
--
--   queues  not null, at least one
--
-- Returns  nothing. The locks stay with the connection until leave_sleep, or until it closes.
-- Errors   PM001 invalid_argument; 55P03 after 5 seconds behind a transaction that adds jobs, or behind another sleeping worker:
--          look for jobs and call again, or leave_sleep: locks already taken stay. A longer wait would hold back vacuum.
-- Locks    the wake locks of the queues, exclusively, in the order of their hashes.
begin
  perform pgmill.check_filters(enter_sleep.queues, null, null);
  perform pg_advisory_lock(hashtext('pgmill'), h.hash)
  from (select distinct hashtext(q) & 63 as hash from unnest(enter_sleep.queues) q order by 1) h;
end;
$$;

comment on function pgmill.enter_sleep is 'Asks for a notification whenever a job is added.';

select pgmill.grant_execute('pgmill.enter_sleep', 'pgmill_worker');
