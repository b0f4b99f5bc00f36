create or replace function pgmill.add_error(
  errors  jsonb,
  attempt int,
  at      timestamptz,
  reason  text,
  message text,
  worker  text
)
returns jsonb
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds an error to those of a job, of which the last 10 are kept.
--
--   errors   so far; null: none
--   reason   error, timeout, lease_expired
--   message  cut to 2 kB
--
-- Returns  the errors, the newest last.
-- Errors   none.
begin
  return
    case when jsonb_array_length(add_error.errors) >= 10 then add_error.errors - 0 else coalesce(add_error.errors, '[]') end
    || jsonb_build_object(
      'attempt', add_error.attempt,
      'at', add_error.at,
      'reason', add_error.reason,
      -- By characters where each is a byte, else by a quarter as many: a cut must not go through a character.
      'message', left(add_error.message, case when octet_length(left(add_error.message, 2048)) > 2048 then 512 else 2048 end),
      'worker', add_error.worker);
end;
$$;

comment on function pgmill.add_error is 'Adds an error to those of a job.';

select pgmill.grant_execute('pgmill.add_error', null);
