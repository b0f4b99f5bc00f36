create or replace function pgmill.delete_ended(
  state  text,
  before timestamptz
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '20ms'
as $$
-- Deletes jobs that ended long enough ago, where no whole day can be dropped: in the day that is partly old, and in the `rest`
-- partition.
--
--   state   completed, failed, cancelled
--   before  those that ended before then
--
-- Returns  how many; at most 100,000.
-- Errors   none.
-- Locks    the jobs' rows, then those of large payloads; passes over rows that others hold (retry_job), and over a table that another cleanup drops.
declare
  v_leaf  text;
  v_count bigint;
  v_total bigint := 0;
  v_large bigint[];
begin
  for v_leaf in
    select l.leaf
    from pgmill.finished_leaves() l
    where l.state = delete_ended.state and (l.starts is null or (l.starts < delete_ended.before and l.ends > delete_ended.before))
  loop
    begin
      execute format(
        'with old as materialized (
           select f.id, f.payload is null as large from pgmill.%1$I f where f.finished_at < $1 limit $2 for update skip locked
         ), gone as (
           delete from pgmill.%1$I f using old o where f.id = o.id returning o.id, o.large
         )
         select count(*), array_agg(g.id) filter (where g.large) from gone g', v_leaf)
      into v_count, v_large using delete_ended.before, 100000 - v_total;
      if v_large is not null then
        delete from pgmill.payload p where p.id = any (v_large);
      end if;
      v_total := v_total + v_count;
    exception
      when lock_not_available or undefined_table then null;
    end;
  end loop;
  return v_total;
end;
$$;

comment on function pgmill.delete_ended is 'Deletes jobs that ended long enough ago.';

select pgmill.grant_execute('pgmill.delete_ended', null);
