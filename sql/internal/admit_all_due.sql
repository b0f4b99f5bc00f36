create or replace function pgmill.admit_all_due()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Lets due jobs of every queue in, so that they show as ready even where no worker asks for them.
--
-- Returns  how many; at most 10000 of each queue.
-- Errors   none.
-- Moves    waiting -> ready.
-- Locks    see admit_due.
declare
  v_began  timestamptz := clock_timestamp();
  v_queues text[];
begin
  -- Where finding the queues takes long, not every time.
  if pgmill.read_mark('queues') > '-infinity' then
    return 0;
  end if;
  -- The queues of `waiting`, one index probe each.
  with recursive each as (
    (select w.queue from pgmill.waiting w order by w.queue limit 1)
    union all
    select (select w.queue from pgmill.waiting w where w.queue > e.queue order by w.queue limit 1) from each e where e.queue is not null
  )
  select array_agg(e.queue) into v_queues from each e where e.queue is not null;
  if clock_timestamp() > v_began + interval '2 ms' then
    perform pgmill.set_mark('queues', 'waiting_queue_run_at', v_began, v_began);
  end if;
  if v_queues is null then
    return 0;
  end if;
  return pgmill.admit_due(v_queues, clock_timestamp(), 10000);
end;
$$;

comment on function pgmill.admit_all_due is 'Lets due jobs of every queue in.';

select pgmill.grant_execute('pgmill.admit_all_due', null);
