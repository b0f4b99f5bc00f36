create or replace function pgmill.add_jobs(
  jobs jsonb
)
returns table (id bigint, created boolean)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
as $$
-- Adds many jobs in one call: all of them or, when one is wrong, none.
--
--   jobs  an array of at most 10000 objects with add_job's parameters as keys, durations as text ('90 seconds'); a key that
--         is left out or null has add_job's default, an unknown key is refused
--
-- Returns  a row for each object, in their order: the job's id, and whether this call created it (false: a live
--          job holds its unique_key; see add_job).
-- Errors   PM001 invalid_argument, with the object's position; PM004 duplicate_key.
-- Moves    nothing -> waiting or ready.
-- Locks    the jobs that are replaced, by room and id; then keys by (queue, unique_key): two calls with the same keys wait, but
--          never for each other.
#variable_conflict use_column
declare
  v_now     timestamptz := clock_timestamp();
  v_queues  text[];
  v_keyed   boolean;
  v_later   boolean;
  v_large   boolean;
  v_held    bigint[];
  v_ids     bigint[];
  v_created boolean[];
  v_slot    int         := pgmill.current_slot();
  v_key     record;
  j         record;
begin
  v_ids := pgmill.add_plain_jobs(add_jobs.jobs);
  if v_ids is not null then
    return query select a.id, true from unnest(v_ids) a(id);
    return;
  end if;

  select c.queues, c.keyed, c.later, c.large into v_queues, v_keyed, v_later, v_large from pgmill.check_jobs(add_jobs.jobs) c;

  -- Ids in the order of the input, in which equally urgent jobs run. From here on both arrays are the answer.
  v_ids := array(select nextval('pgmill.job_id') from generate_series(1, jsonb_array_length(add_jobs.jobs)));
  v_created := array_fill(true, array[cardinality(v_ids)]);

  if v_keyed then
    -- The jobs that will be replaced, in the one lock order: by room, in a room by id.
    select array_agg(k.id) into v_held
    from pgmill.read_jobs(add_jobs.jobs) r
    join pgmill.job_key k on k.queue = any (array[r.queue]) and k.unique_key = r.unique_key  -- any: see get_jobs
    where r.on_duplicate = 'replace';
    if v_held is not null then
      perform from pgmill.waiting w where w.id = any (v_held) order by w.id for update;
      perform from pgmill.ready r where r.id = any (v_held) order by r.id for update;
    end if;

    -- Keys in their own order.
    for j in select r.* from pgmill.read_jobs(add_jobs.jobs) r where r.unique_key is not null order by r.queue, r.unique_key, r.ord loop
      v_key := pgmill.hold_key(j.queue, j.unique_key, v_ids[j.ord], j.on_duplicate);
      if not v_key.written then
        perform pgmill.insert_job(
          v_key.live_id, j.queue, j.name, j.payload, j.priority, greatest(j.run_at, v_now), 0, j.max_attempts,
          j.timeout, j.retry_base, j.retry_max, j.unique_key, null, v_now);
      end if;
      v_ids[j.ord] := v_key.live_id;
      v_created[j.ord] := v_key.created;
    end loop;
  end if;

  if v_large then
    insert into pgmill.payload (id, payload)
    select v_ids[r.ord], r.payload from pgmill.read_jobs(add_jobs.jobs) r where r.unique_key is null and pgmill.is_large(r.payload);
  end if;

  -- One statement a room: a single one for both would first write all jobs to a temporary place.
  insert into pgmill.ready (
    id, queue, name, payload, priority, run_at, attempts, max_attempts, timeout, retry_base, retry_max, created_at, slot)
  select
    v_ids[r.ord], r.queue, r.name, case when not pgmill.is_large(r.payload) then r.payload end, r.priority, v_now, 0, r.max_attempts,
    r.timeout, r.retry_base, r.retry_max, v_now, v_slot
  from pgmill.read_jobs(add_jobs.jobs) r
  where r.unique_key is null and (r.run_at is null or r.run_at <= v_now);
  if v_later then
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts, timeout, retry_base, retry_max, created_at)
    select
      v_ids[r.ord], r.queue, r.name, case when not pgmill.is_large(r.payload) then r.payload end, r.priority, r.run_at, 0, r.max_attempts,
      r.timeout, r.retry_base, r.retry_max, v_now
    from pgmill.read_jobs(add_jobs.jobs) r
    where r.unique_key is null and r.run_at > v_now;
  end if;

  perform pgmill.wake(q) from unnest(v_queues) q;
  return query select a.id, a.created from unnest(v_ids, v_created) a(id, created);
end;
$$;

comment on function pgmill.add_jobs is 'Adds many jobs in one call; returns their ids in order.';

select pgmill.grant_execute('pgmill.add_jobs', 'pgmill_producer');
