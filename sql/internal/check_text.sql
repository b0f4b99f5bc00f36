create or replace function pgmill.check_text(
  argument text,
  value    text
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a word that names something: a job, a queue, a worker, a unique_key.
--
--   argument  what the caller calls it
--   value     1 to 255 characters; the limit keeps it within an index entry
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_text.value is null then
    perform pgmill.reject(format('%s must not be null.', check_text.argument), format('Give %s 1 to 255 characters.', check_text.argument));
  elsif check_text.value = '' then
    perform pgmill.reject(format('%s must not be empty.', check_text.argument), format('Give %s 1 to 255 characters.', check_text.argument));
  elsif length(check_text.value) > 255 then
    perform pgmill.reject(
      format('%s has %s characters; the limit is 255.', check_text.argument, length(check_text.value)), 'Shorten it, or put the long part into the payload.');
  end if;
end;
$$;

comment on function pgmill.check_text is 'Checks a word that names something.';

select pgmill.grant_execute('pgmill.check_text', null);
