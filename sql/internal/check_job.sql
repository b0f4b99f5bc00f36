create or replace function pgmill.check_job(
  name         text,
  payload      jsonb,
  queue        text,
  priority     int,
  run_at       timestamptz,
  max_attempts int,
  timeout      interval,
  retry_base   interval,
  retry_max    interval,
  unique_key   text,
  on_duplicate text
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks what is about to become a job; the parameters are add_job's.
--
-- Returns  nothing.
-- Errors   PM001 for the first argument that is wrong.
begin
  perform pgmill.check_text('name', check_job.name);
  perform pgmill.check_text('queue', check_job.queue);
  if check_job.payload is null then
    perform pgmill.reject('payload must not be null.', 'Pass ''{}'' for a job without data.');
  end if;
  perform pgmill.check_payload('payload', check_job.payload);
  if check_job.priority is null then
    perform pgmill.reject('priority must not be null.', 'Give a whole number; a lower one runs first.');
  end if;
  perform pgmill.check_run_at('run_at', check_job.run_at);
  if check_job.max_attempts is null or check_job.max_attempts not between 1 and 1000 then
    perform pgmill.reject('max_attempts is out of range.', 'Give 1 to 1000; 1 means no retry.');
  end if;
  if check_job.timeout is not null then
    perform pgmill.check_interval('timeout', check_job.timeout, '1 millisecond', '366 days');
  end if;
  perform pgmill.check_interval('retry_base', check_job.retry_base, '0', '366 days');
  perform pgmill.check_interval('retry_max', check_job.retry_max, '0', '3660 days');
  if check_job.unique_key is not null then
    perform pgmill.check_text('unique_key', check_job.unique_key);
  end if;
  if check_job.on_duplicate is null or check_job.on_duplicate not in ('skip', 'replace', 'error') then
    perform pgmill.reject('on_duplicate is not known.', 'Use skip, replace or error.');
  end if;
end;
$$;

comment on function pgmill.check_job is 'Checks what is about to become a job.';

select pgmill.grant_execute('pgmill.check_job', null);
