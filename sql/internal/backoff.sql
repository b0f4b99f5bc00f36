create or replace function pgmill.backoff(
  attempts int,
  base     interval,
  max      interval
)
returns interval
language plpgsql
volatile
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- How long to wait before the next attempt: base * 2^attempts, at most max.
--
--   attempts  charged so far; after the first attempt it is 1, so the first retry comes after 2 * base
--   base      the unit; zero: no wait
--   max       the longest wait
--
-- Returns  the wait, made up to 4 % shorter or longer at random, so that jobs that failed together do not come back
--          together; never over max.
-- Errors   none. The power is clamped before it is taken: 2^60 is beyond every max.
begin
  return least(
    make_interval(secs => least(
      extract(epoch from backoff.max)::float8,
      extract(epoch from backoff.base)::float8 * power(2, least(greatest(backoff.attempts, 0), 60)) * (0.96 + random() * 0.08))),
    backoff.max);  -- a year of seconds is longer than a year of 12 months of 30 days, as which PostgreSQL compares it
end;
$$;

comment on function pgmill.backoff is 'How long to wait before the next attempt.';

select pgmill.grant_execute('pgmill.backoff', null);
