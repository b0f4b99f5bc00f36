create or replace function pgmill.snooze_job(
  id           bigint,
  token        uuid,
  out state    text,
  inout run_at timestamptz
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Puts a job off: it was claimed too early. The attempt is not charged.
--
--   id, token  the lease, as get_jobs returned it
--   run_at     not before then; past: now
--
-- Returns  one row: state is scheduled, or ready when run_at is past, and run_at the job's; cancelled (someone asked for that
--          meanwhile) or lease_lost (the lease is not current; nothing changed), and run_at is null.
-- Errors   PM001 invalid_argument.
-- Moves    running -> waiting or ready; running -> finished (cancelled).
-- Locks    the job's row; then the row of its key.
begin
  perform pgmill.check_leases(array[snooze_job.id], array[snooze_job.token]);
  if snooze_job.run_at is null then
    perform pgmill.reject('run_at must not be null.', 'Say when the job should run, or use release_jobs.');
  end if;
  perform pgmill.check_run_at('run_at', snooze_job.run_at);
  select g.state, g.run_at_now into snooze_job.state, snooze_job.run_at
  from pgmill.give_back(array[snooze_job.id], array[snooze_job.token], snooze_job.run_at) g;
end;
$$;

comment on function pgmill.snooze_job is 'Puts a job off, without charging the attempt.';

select pgmill.grant_execute('pgmill.snooze_job', 'pgmill_worker');
