create or replace function pgmill.put_cron(
  owner  text,
  object jsonb
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Calls cron_upsert for one object of cron_sync's list.
--
--   owner   the list's
--   object  cron_upsert's parameters; left out or null: its defaults
--
-- Returns  nothing.
-- Errors   PM001, PM201, PM202.
-- Locks    the schedule's row.
declare
  r record;
begin
  perform pgmill.check_keys(
    put_cron.object,
    '{name,expression,every,job_name,payload,timezone,queue,priority,max_attempts,timeout,missed,overlap,retry_base,retry_max}');
  begin
    select * into r from jsonb_to_record(put_cron.object) as o(
      name text, expression text, every interval, job_name text, payload jsonb, timezone text, queue text, priority int,
      max_attempts int, timeout interval, missed text, overlap boolean, retry_base interval, retry_max interval);
  exception
    when data_exception then
      perform pgmill.reject('a value is of the wrong type.', 'Give numbers as numbers, true or false, and durations as text such as 90 seconds.');
  end;
  perform pgmill.cron_upsert(
    r.name, r.expression, r.every, r.job_name, coalesce(r.payload, '{}'), coalesce(r.timezone, 'UTC'), coalesce(r.queue, 'default'),
    coalesce(r.priority, 4), coalesce(r.max_attempts, 3), r.timeout, put_cron.owner, coalesce(r.missed, 'once'), coalesce(r.overlap, false),
    coalesce(r.retry_base, '1 minute'), coalesce(r.retry_max, '1 day'));
end;
$$;

comment on function pgmill.put_cron is 'Calls cron_upsert for one object of cron_sync''s list.';

select pgmill.grant_execute('pgmill.put_cron', null);
