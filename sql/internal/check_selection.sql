create or replace function pgmill.check_selection(
  name       text,
  queue      text,
  unique_key text,
  run_from   timestamptz,
  run_until  timestamptz
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks by what an administrator selects jobs. Null passes everywhere: it means any.
--
--   name, queue, unique_key  1 to 255 characters
--   run_from, run_until      finite, and in this order
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_selection.name is not null then
    perform pgmill.check_text('name', check_selection.name);
  end if;
  if check_selection.queue is not null then
    perform pgmill.check_text('queue', check_selection.queue);
  end if;
  if check_selection.unique_key is not null then
    perform pgmill.check_text('unique_key', check_selection.unique_key);
  end if;
  perform pgmill.check_run_at('run_from', check_selection.run_from);
  perform pgmill.check_run_at('run_until', check_selection.run_until);
  if check_selection.run_from > check_selection.run_until then
    perform pgmill.reject('run_from is later than run_until.', 'Swap them: jobs with run_from <= run_at < run_until are selected.');
  end if;
end;
$$;

comment on function pgmill.check_selection is 'Checks by what an administrator selects jobs.';

select pgmill.grant_execute('pgmill.check_selection', null);
