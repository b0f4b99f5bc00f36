create or replace function pgmill.release_jobs(
  ids    bigint[],
  tokens uuid[]
)
returns table (id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Hands jobs back unstarted; the attempt is not charged, and they keep their place in the order.
--
--   ids, tokens  the leases, as get_jobs returned them; at most 10000
--
-- Returns  a row for each lease, in their order: released; cancelled (someone asked for that meanwhile); lease_lost.
-- Errors   PM001 invalid_argument.
-- Moves    running -> ready; running -> finished (cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
begin
  perform pgmill.check_leases(release_jobs.ids, release_jobs.tokens);
  return query
  select g.id, case g.state when 'ready' then 'released' else g.state end
  from pgmill.give_back(release_jobs.ids, release_jobs.tokens, null) g;
end;
$$;

comment on function pgmill.release_jobs is 'Hands jobs back unstarted.';

select pgmill.grant_execute('pgmill.release_jobs', 'pgmill_worker');
