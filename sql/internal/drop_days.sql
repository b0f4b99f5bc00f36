create or replace function pgmill.drop_days(
  states  text[],
  befores timestamptz[]
)
returns table (state text, removed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '20ms'
as $$
-- Drops the partitions of `finished` whose whole day is old.
--
--   states   completed, failed, cancelled
--   befores  as many: what ended before then is old, each for its state; none in the future
--
-- Returns  rows whose sums are the number of jobs removed of each state. At most 31 partitions are dropped, the oldest first. One that
--          is in use for longer than 20 ms is left for the next call, and all are unless the transaction is READ COMMITTED (an older
--          snapshot could miscount them). Jobs with large payloads are deleted beforehand, at most 100,000 of a partition; one
--          that has more is left for the next call.
-- Errors   none.
-- Locks    each partition, EXCLUSIVE, from when its jobs are counted, which holds up only retry_job; at last each partition, its `rest`
--          and the table of its state, ACCESS EXCLUSIVE, to the end of the transaction. This waits at most 20 ms for each of the
--          six tables that others use, and gives up at the first that takes longer, so nobody waits for it much longer than 100 ms.
#variable_conflict use_column
declare
  v_leaves text[]   := '{}';
  v_states text[]   := '{}';
  v_counts bigint[] := '{}';
  v_count  bigint;
  v_large  bigint;
  v_ids    bigint[];
  l        record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return;
  end if;

  for l in
    select f.leaf, f.state
    from pgmill.finished_leaves() f
    join unnest(drop_days.states, drop_days.befores) b(state, before) on b.state = f.state
    where f.ends <= b.before
    order by f.starts, f.state
    limit 31
  loop
    begin
      execute format('lock table only pgmill.%I in exclusive mode', l.leaf);
      execute format('select count(*), count(*) filter (where f.payload is null) from pgmill.%I f', l.leaf) into v_count, v_large;
      if v_large > 0 then
        execute format('select array(select f.id from pgmill.%I f where f.payload is null limit 100000)', l.leaf) into v_ids;
        execute format('delete from pgmill.%I f where f.id = any ($1)', l.leaf) using v_ids;
        delete from pgmill.payload p where p.id = any (v_ids);
        state := l.state;
        removed := cardinality(v_ids);
        return next;
        continue when v_large > removed;
      end if;
      v_leaves := v_leaves || l.leaf;
      v_states := v_states || l.state;
      v_counts := v_counts || v_count - v_large;
    exception
      when lock_not_available or undefined_table then null;  -- in use, or another cleanup was faster
    end;
  end loop;

  -- All counting is done: from here on it has to be quick.
  for i in 1..cardinality(v_leaves) loop
    begin
      execute format('drop table pgmill.%I', v_leaves[i]);
    exception
      when lock_not_available then return;
    end;
    state := v_states[i];
    removed := v_counts[i];
    return next;
  end loop;
end;
$$;

comment on function pgmill.drop_days is 'Drops the partitions of finished whose whole day is old.';

select pgmill.grant_execute('pgmill.drop_days', null);
