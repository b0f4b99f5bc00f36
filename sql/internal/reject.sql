create or replace function pgmill.reject(
  message text,
  hint    text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses an argument.
--
--   message  a sentence that names the argument and says what is wrong; never a payload
--   hint     the cure
--
-- Returns  never.
-- Errors   PM001 invalid_argument, always.
begin
  raise exception using errcode = 'PM001', message = reject.message, hint = reject.hint;
end;
$$;

comment on function pgmill.reject is 'Refuses an argument with PM001.';

select pgmill.grant_execute('pgmill.reject', null);
