create or replace function pgmill.average_time_to_completion(
  "from" timestamptz,
  "to"   timestamptz,
  names  text[] default null
)
returns interval
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- How long jobs took, from run_at (of a retried job: of its last attempt) to completion.
--
--   from, to  over the jobs that completed in from <= finished_at < to
--   names     only jobs with these names; null: any name; an empty list matches nothing
--
-- Returns  the average; null: no such job completed then, or they are cleaned up.
-- Errors   PM001 invalid_argument.
begin
  if average_time_to_completion."from" is null or average_time_to_completion."to" is null then
    perform pgmill.reject('from and to must not be null.', 'Give both bounds.');
  end if;
  perform pgmill.check_run_at('from', average_time_to_completion."from");
  perform pgmill.check_run_at('to', average_time_to_completion."to");
  if average_time_to_completion."from" > average_time_to_completion."to" then
    perform pgmill.reject('from is later than to.', 'Swap them.');
  end if;
  perform pgmill.check_filters('{default}', average_time_to_completion.names, null);
  return (
    select avg(f.finished_at - f.run_at)
    from pgmill.finished f
    where f.state = 'completed'
      and f.finished_at >= average_time_to_completion."from"
      and f.finished_at < average_time_to_completion."to"
      and (average_time_to_completion.names is null or f.name = any (average_time_to_completion.names))
  );
end;
$$;

comment on function pgmill.average_time_to_completion is 'How long jobs took, from run_at to completion.';

select pgmill.grant_execute('pgmill.average_time_to_completion', 'pgmill_observer');
