create or replace function pgmill.check_failure(
  error    text,
  retry_in interval,
  final    boolean,
  reason   text
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks what a worker says of a failed attempt; the parameters are fail_job's.
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_failure.error is null then
    perform pgmill.reject('error must not be null.', 'Say what went wrong, in a sentence.');
  elsif check_failure.final is null then
    perform pgmill.reject('final must not be null.', 'Give true or false.');
  elsif check_failure.reason is null or check_failure.reason not in ('error', 'timeout') then
    perform pgmill.reject('reason is not known.', 'Use error or timeout.');
  elsif check_failure.retry_in is not null then
    perform pgmill.check_interval('retry_in', check_failure.retry_in, '0', '3660 days');
  end if;
end;
$$;

comment on function pgmill.check_failure is 'Checks what a worker says of a failed attempt.';

select pgmill.grant_execute('pgmill.check_failure', null);
