create or replace function pgmill.cron_names(
  owner text,
  crons jsonb
)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the form of cron_sync's list.
--
--   owner, crons  cron_sync's parameters
--
-- Returns  the names in the list.
-- Errors   PM001.
declare
  v_item  jsonb;
  v_names text[] := '{}';
begin
  perform pgmill.check_text('owner', cron_names.owner);
  if jsonb_typeof(cron_names.crons) is distinct from 'array' then
    perform pgmill.reject('crons must be an array.', 'Give an array of objects such as {"name": "report", "expression": "0 9 * * *"}.');
  elsif jsonb_array_length(cron_names.crons) > 10000 then
    perform pgmill.reject('crons has more than 10000 schedules.', 'Share them among several owners.');
  end if;
  for v_item in select e from jsonb_array_elements(cron_names.crons) e loop
    if jsonb_typeof(v_item) <> 'object' or jsonb_typeof(v_item -> 'name') is distinct from 'string' then
      perform pgmill.reject('crons has an element without a name.', 'Give objects such as {"name": "report", "expression": "0 9 * * *"}.');
    elsif v_item ->> 'name' = any (v_names) then
      perform pgmill.reject('crons has a name twice.', 'Give each schedule a name of its own; its jobs may share a job_name.');
    end if;
    v_names := v_names || (v_item ->> 'name');
  end loop;
  return v_names;
end;
$$;

comment on function pgmill.cron_names is 'Checks the form of the list of cron_sync.';

select pgmill.grant_execute('pgmill.cron_names', null);
