create or replace function pgmill.add_partitions()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
-- Makes the partitions of `finished` for today and the next three days (UTC), where they are missing.
--
-- Returns  how many it made. A day is passed over while its jobs lie in the `rest` partition (nobody called tick() in time;
--          cleanup finds them there); while that partition is in use for longer than 100 ms, all are: the next tick tries again.
-- Errors   none.
-- Locks    the parent, SHARE UPDATE EXCLUSIVE (reading and writing go on); the empty `rest` partition, ACCESS EXCLUSIVE, briefly.
declare
  v_state text;
  v_day   date;
  v_leaf  text;
  v_made  bigint := 0;
begin
  for v_state, v_day in
    select s, d::date
    from unnest(array['completed', 'failed', 'cancelled']) s,
      generate_series(clock_timestamp()::date, clock_timestamp()::date + 3, interval '1 day') d
  loop
    v_leaf := format('finished_%s_%s', v_state, to_char(v_day, 'YYYYMMDD'));
    continue when to_regclass('pgmill.' || v_leaf) is not null
      or exists (select from pgmill.finished f where f.state = v_state and f.finished_at >= v_day and f.finished_at < v_day + 1);
    begin
      -- First, because waiting in vain then costs nothing.
      execute format('lock table only pgmill.%I in access exclusive mode', 'finished_' || v_state || '_rest');
      -- Built aside, then attached: that needs no stronger lock on the parent than readers and writers allow.
      execute format('create table pgmill.%I (like pgmill.finished, primary key (id))', v_leaf);
      execute format(
        'alter table pgmill.%I attach partition pgmill.%I for values from (%L) to (%L)',
        'finished_' || v_state, v_leaf, v_day::timestamptz, (v_day + 1)::timestamptz);
      v_made := v_made + 1;
    exception
      when lock_not_available then return v_made;
      -- A job of that day came into `rest` just now, or another session made the day while this one waited.
      when check_violation or duplicate_table then null;
    end;
  end loop;
  return v_made;
end;
$$;

comment on function pgmill.add_partitions is 'Makes the partitions of finished for today and the next days.';

select pgmill.grant_execute('pgmill.add_partitions', null);
