create or replace function pgmill.hold_key(
  queue        text,
  unique_key   text,
  id           bigint,
  on_duplicate text,
  out live_id  bigint,
  out created  boolean,
  out written  boolean
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Takes a unique_key for a new job, or finds the live job that holds it.
--
--   id            of the new job
--   on_duplicate  skip, replace or error: what to do when a live job holds the key
--
-- Returns  live_id: the job that holds the key now; created: it is the new one; written: its row is in a room
--          already and stays as it is. With written false the caller writes the job's row, under live_id; nothing
--          is left of a row that it replaces, nor of its payload.
-- Errors   PM004 duplicate_key, with on_duplicate error.
-- Locks    the key's row when it is new; with replace, the held job's row. Waits for a transaction that is just taking or
--          freeing this key.
--
-- Freeing a key is always the second step of ending its job, so whoever frees it holds the job's row already.
-- That is why this may look at the key without locking it, and must look again when the job has gone.
declare
  v_large boolean;
begin
  loop
    insert into pgmill.job_key (queue, unique_key, id) values (hold_key.queue, hold_key.unique_key, hold_key.id) on conflict do nothing;
    if found then
      live_id := hold_key.id;
      created := true;
      written := false;
      return;
    end if;

    select k.id into live_id from pgmill.job_key k where k.queue = hold_key.queue and k.unique_key = hold_key.unique_key;
    continue when live_id is null;  -- it ended between the two statements

    created := false;
    written := true;
    if hold_key.on_duplicate = 'error' then
      raise exception using
        errcode = 'PM004',
        message = format('A live job (%s) holds this unique_key.', live_id),
        hint = 'Use on_duplicate => ''skip'' to get its id, or ''replace'' to rewrite it.';
    elsif hold_key.on_duplicate = 'replace' then
      delete from pgmill.waiting w where w.id = live_id returning w.payload is null into v_large;
      if not found then
        delete from pgmill.ready r where r.id = live_id returning r.payload is null into v_large;
      end if;
      written := not found;
      if v_large then
        delete from pgmill.payload p where p.id = live_id;
      end if;
      -- Not there, and not running: it is on its way between two rooms, or has ended. Look again.
      continue when written and not exists (select from pgmill.running r where r.id = live_id);
    end if;
    return;
  end loop;
end;
$$;

comment on function pgmill.hold_key is 'Takes a unique_key for a new job, or finds the live job that holds it.';

select pgmill.grant_execute('pgmill.hold_key', null);
