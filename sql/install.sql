-- pgmill 0.0.1: installs it, or brings an older one up to date. Run it as often as you like:
--
--   psql -v ON_ERROR_STOP=1 -f install.sql
--
-- One transaction; several at once wait for each other. Needs no superuser: the right to create a schema is enough.
-- Made by sql/generate-install.ts: change migrations/ and sql/, not this file.
--
-- Version: 0.0.1
-- Functions: sha1:48f45afeff3d336f1d6427be8d8ba30928a5344b
-- Migrations: 000001.sql sha1:d48d14e433e1a59d467420798a89b5c5bd89d758

begin isolation level read committed read write;

set local client_min_messages = warning;
set local search_path = pg_catalog, pg_temp;
set local standard_conforming_strings = on;
set local statement_timeout = 0;
set local lock_timeout = 0;

do $$ begin perform pg_advisory_xact_lock(7046029254386353131); end $$;

do $$ begin
  if to_regnamespace('pgmill') is null then
    create schema pgmill;
  end if;
end $$;

-- The migrations this database has had. Their hashes form a chain.
create table if not exists pgmill.migration (
  name       text        primary key,
  hash       text        not null,
  applied_at timestamptz not null default now()
);

-- What is installed: one row.
create table if not exists pgmill.installed (
  one          boolean     primary key default true check (one),
  version      text        not null,
  sql_hash     text        not null,  -- of all of sql/
  installed_at timestamptz not null default now()
);

-- Refuses a database that is newer than this script, or whose history is not this script's.
do $$
declare
  v_version text := (select i.version from pgmill.installed i);
  v_name    text;
begin
  if string_to_array(regexp_replace(v_version, '[-+].*', ''), '.')::int[]
     > string_to_array(regexp_replace('0.0.1', '[-+].*', ''), '.')::int[] then
    raise exception using errcode = 'PM101',
      message = format('This database has pgmill %s, which is newer than 0.0.1.', v_version),
      hint = 'Install with that version of pgmill or a newer one.';
  end if;

  select m.name into v_name from pgmill.migration m
  where m.name not in (select k.name from (values ('000001.sql', 'sha1:d48d14e433e1a59d467420798a89b5c5bd89d758')) as k(name, hash))
  order by m.name limit 1;
  if found then
    raise exception using errcode = 'PM101',
      message = format('This database has had migration %s, which pgmill 0.0.1 does not know.', v_name),
      hint = 'Install with the newer version of pgmill that made it.';
  end if;

  select m.name into v_name from pgmill.migration m join (values ('000001.sql', 'sha1:d48d14e433e1a59d467420798a89b5c5bd89d758')) as k(name, hash) on k.name = m.name
  where k.hash <> m.hash
  order by m.name limit 1;
  if found then
    raise exception using errcode = 'PM102',
      message = format('Migration %s is not the one this database has had.', v_name),
      hint = 'A committed migration must never change. Install from a released version of pgmill.';
  end if;
end
$$;

-- file: migrations/000001.sql

do $pgmill_run$
begin
  if exists (select from pgmill.migration m where m.name = '000001.sql') then
    return;
  end if;
  execute $pgmill$
-- The rooms. A job is one row, and the table it lies in is its state; sql/README.md draws them.
-- Tables and indexes only: every rule is in the functions in sql/. No foreign keys to jobs and no triggers on
-- them, because rows move between these tables all the time.

create schema if not exists pgmill;

-- One number for a job, whichever room it is in.
create sequence pgmill.job_id as bigint;

-- A register, not a counter: last_value is the slot of `ready` that inserts go to. A sequence, because reading
-- one costs no snapshot and setting one leaves no dead row behind. Set by turn_ring.
create sequence pgmill.ready_slot as int minvalue 0 start 0;

-- Jobs that may not run yet: run_at in the future, or waiting to retry (attempts > 0).
create table pgmill.waiting (
  -- What has a fixed width and is never null comes first: PostgreSQL reads such columns fastest, and without padding.
  id           bigint      not null,
  run_at       timestamptz not null,
  created_at   timestamptz not null,
  priority     int         not null,  -- a lower number runs first
  attempts     int         not null,  -- charged so far
  max_attempts int         not null,  -- all attempts, not extra ones
  queue        text        not null,
  name         text        not null,
  payload      jsonb,                 -- null: it is large, and lies in pgmill.payload
  timeout      interval,              -- null: the handler's or the worker's
  retry_base   interval,              -- null: 1 minute
  retry_max    interval,              -- null: 1 day
  unique_key   text,
  errors       jsonb,                 -- the last 10; null: none
  cron         text,                  -- the schedule that added the job
  cron_tick    timestamptz,           -- and the tick it stands for
  primary key (id)
);

-- admit_due (let due jobs in) and next_run_at look at the low end of one queue at a time.
create index waiting_queue_run_at on pgmill.waiting (queue, run_at);

-- Jobs that may run now, nothing else. A ring: inserts go to one slot; a slot that was emptied is truncated, so
-- dead rows never pile up under the claim, even while a snapshot held open elsewhere keeps vacuum from working. Three
-- slots, until turn_ring adds one.
create table pgmill.ready (
  like pgmill.waiting,
  slot smallint not null
) partition by list (slot);

-- get_jobs: the claim is a scan of this index from its low end.
create index ready_claim on pgmill.ready (queue, priority, run_at, id);

create table pgmill.ready_0 partition of pgmill.ready (primary key (id)) for values in (0);
create table pgmill.ready_1 partition of pgmill.ready (primary key (id)) for values in (1);
create table pgmill.ready_2 partition of pgmill.ready (primary key (id)) for values in (2);

-- Leased jobs.
create table pgmill.running (
  like pgmill.waiting,
  worker           text        not null,
  token            uuid        not null,  -- the lease; fresh at each claim
  claimed_at       timestamptz not null,
  lease_until      timestamptz not null,
  cancel_requested boolean     not null default false,
  primary key (id)
);

-- reclaim: leases that ran out.
create index running_lease_until on pgmill.running (lease_until);

-- Jobs that ended, append only. By state, because each state is kept for its own time; then by day, so that
-- cleanup can drop a whole day. add_partitions makes the days; the `rest` partitions catch a job that ends
-- on a day for which nobody called tick() in time, so that no job ever fails to end.
create table pgmill.finished (
  like pgmill.waiting,
  state       text        not null,  -- completed, failed, cancelled
  finished_at timestamptz not null,
  worker      text,                  -- of the last lease, as are the next two; null: never claimed
  token       uuid,
  claimed_at  timestamptz,
  result      jsonb
) partition by list (state);

create table pgmill.finished_completed partition of pgmill.finished for values in ('completed') partition by range (finished_at);
create table pgmill.finished_failed    partition of pgmill.finished for values in ('failed')    partition by range (finished_at);
create table pgmill.finished_cancelled partition of pgmill.finished for values in ('cancelled') partition by range (finished_at);

-- What looks at a span of time: insights, average_time_to_completion. Rows are appended in this order, so that a summary of
-- each 256 kB is enough, which costs completing a job next to nothing; a B-tree by name and time took a sixth of it.
create index finished_finished_at on pgmill.finished using brin (finished_at) with (pages_per_range = 32, autosummarize = on);

create table pgmill.finished_completed_rest partition of pgmill.finished_completed (primary key (id)) default;
create table pgmill.finished_failed_rest    partition of pgmill.finished_failed    (primary key (id)) default;
create table pgmill.finished_cancelled_rest partition of pgmill.finished_cancelled (primary key (id)) default;

-- Payloads that are large: written once, while the job's row goes from room to room without it. Whoever deletes a job's row
-- and writes no other for it deletes its row here too, while it holds the job's row, so nobody ever waits for one of these.
create table pgmill.payload (
  id      bigint not null,
  payload jsonb  not null,
  primary key (id)
)
-- Up to 8 kB they stay in the row as they are, because compressing or cutting them up takes longer than writing them.
with (toast_tuple_target = 8160);

-- The live job that holds a unique_key. A table of its own, because no index spans the rooms.
create table pgmill.job_key (
  queue      text   not null,
  unique_key text   not null,
  id         bigint not null,
  primary key (queue, unique_key)
);


-- Recurring jobs (sql/schedule/): one row each.
create table pgmill.cron (
  name         text        primary key,
  owner        text        not null,  -- cron_sync removes only rows of its own
  expression   text,                  -- either this: a cron expression
  every        interval,              -- or this: so much after the last tick
  timezone     text        not null,
  job_name     text        not null,  -- what to add; as in a job, down to retry_max
  queue        text        not null,
  payload      jsonb       not null,
  priority     int         not null,
  max_attempts int         not null,
  timeout      interval,
  retry_base   interval    not null,
  retry_max    interval    not null,
  missed       text        not null,  -- once, skip, all
  overlap      boolean     not null,
  paused       boolean     not null,
  next_tick    timestamptz not null,
  last_tick    timestamptz,
  error        text,                  -- why it could not be fired; null: nothing is wrong
  try_at       timestamptz            -- after an error: not before then
);

-- fire_due_crons: what is due.
create index cron_next_tick on pgmill.cron (next_tick) where not paused;

-- The last ticks of each schedule. The key is what makes a second job for a tick impossible. fire_cron removes old rows.
create table pgmill.cron_tick (
  cron         text        not null,
  tick         timestamptz not null,
  job_id       bigint,                -- null: no job was added
  skipped      text,                  -- why not: overlap (an earlier job of the schedule was still live), missed (too late)
  completed_at timestamptz,           -- of the job; a row of its own, so that completing never waits for the schedule's
  primary key (cron, tick)
);

-- The names of pg_timezone_names, which opens a file for each of them and takes 30 ms or more: cron_zone reads this
-- instead. A view, so that a dump restored on another server has that server's names.
create materialized view pgmill.timezone as
select z.name from pg_catalog.pg_timezone_names z;

-- cron_zone: look up one name.
create unique index timezone_name on pgmill.timezone (name);
$pgmill$;
  insert into pgmill.migration (name, hash) values ('000001.sql', 'sha1:d48d14e433e1a59d467420798a89b5c5bd89d758');
end
$pgmill_run$;

-- When sql/ changed: drops the views and functions, because a new form cannot replace an old one. What something of
-- the user's depends on stays, and is replaced below.
do $$
declare
  v_drop text;
begin
  if 'sha1:48f45afeff3d336f1d6427be8d8ba30928a5344b' = (select i.sql_hash from pgmill.installed i) then
    return;
  end if;
  -- Twice, because functions may return the rows of a view, and views may call functions.
  for v_drop in
    select each.command
    from (
      select format('drop view %s', c.oid::regclass) as command, 1 as kind, c.oid
      from pg_class c
      where c.relnamespace = 'pgmill'::regnamespace and c.relkind = 'v'
      union all
      select format('drop %s %s', case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure), 2, p.oid
      from pg_proc p
      where p.pronamespace = 'pgmill'::regnamespace and p.prokind in ('f', 'p')
    ) each
    cross join generate_series(1, 2) round
    order by round, each.kind, each.oid desc
  loop
    begin
      execute v_drop;
    exception
      when dependent_objects_still_exist or undefined_function or undefined_table then null;
    end;
  end loop;
end
$$;

-- file: sql/internal/grant_execute.sql

create or replace function pgmill.grant_execute(
  function_name text,
  role_name     text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Takes a function away from PUBLIC and gives it to one role; each file in sql/ ends with this call.
--
--   function_name  with its schema, without arguments; every function of pgmill has one form
--   role_name      one of the four roles; null: nobody, the function is internal
--
-- Returns  nothing. A role that is not there (see create_roles) is passed over.
-- Errors   those of PostgreSQL.
begin
  execute format('revoke all on function %s from public', grant_execute.function_name::regproc);
  if exists (select from pg_roles r where r.rolname = grant_execute.role_name) then
    execute format('grant execute on function %s to %I', grant_execute.function_name::regproc, grant_execute.role_name);
  end if;
end;
$$;

comment on function pgmill.grant_execute is 'Takes a function away from PUBLIC and gives it to one role.';

do $$ begin perform pgmill.grant_execute('pgmill.grant_execute', null); end $$;

-- file: sql/internal/create_roles.sql

create or replace function pgmill.create_roles()
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Creates the four roles where it may, and lets them into the schema. They cannot log in: grant them to those who can.
--
-- Returns  nothing. Where the installing user may not create a role, a warning says so and what to run; installing
--          again afterwards gives the role its functions.
-- Errors   none.
declare
  v_role text;
begin
  foreach v_role in array array['pgmill_producer', 'pgmill_worker', 'pgmill_observer', 'pgmill_admin'] loop
    begin
      if not exists (select from pg_roles r where r.rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
      execute format('grant usage on schema pgmill to %I', v_role);
    exception
      when insufficient_privilege then
        raise warning 'pgmill: role % is missing and % may not create it', v_role, current_user
          using hint = format('As a user who may: create role %s nologin; then install pgmill again.', v_role);
      when duplicate_object or unique_violation then
        -- Roles belong to the whole server: an installation into another database was faster.
        execute format('grant usage on schema pgmill to %I', v_role);
    end;
  end loop;
end;
$$;

comment on function pgmill.create_roles is 'Creates the four roles where it may.';

do $$ begin perform pgmill.grant_execute('pgmill.create_roles', null); end $$;

do $$ begin perform pgmill.create_roles(); end $$;

-- file: sql/internal/add_error.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.add_error', null); end $$;

-- file: sql/internal/add_partitions.sql

create or replace function pgmill.add_partitions()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
set lock_timeout = '100ms'
as $$
-- Makes the partitions of `finished` for today and the next three days (UTC), where they are missing.
--
-- Returns  how many it made. A day is passed over while its jobs lie in the `rest` partition (nobody called tick() in time;
--          cleanup finds them there); while that partition is in use for longer than 100 ms, all are: the next tick tries again.
-- Errors   none.
-- Locks    the parent, SHARE UPDATE EXCLUSIVE (reading and writing go on); the empty `rest` partition, ACCESS EXCLUSIVE, briefly.
declare
  v_state text;
  v_day   date;
  v_leaf  text;
  v_made  bigint := 0;
begin
  for v_state, v_day in
    select s, d::date
    from unnest(array['completed', 'failed', 'cancelled']) s,
      generate_series(clock_timestamp()::date, clock_timestamp()::date + 3, interval '1 day') d
  loop
    v_leaf := format('finished_%s_%s', v_state, to_char(v_day, 'YYYYMMDD'));
    continue when to_regclass('pgmill.' || v_leaf) is not null
      or exists (select from pgmill.finished f where f.state = v_state and f.finished_at >= v_day and f.finished_at < v_day + 1);
    begin
      -- First, because waiting in vain then costs nothing.
      execute format('lock table only pgmill.%I in access exclusive mode', 'finished_' || v_state || '_rest');
      -- Built aside, then attached: that needs no stronger lock on the parent than readers and writers allow.
      execute format('create table pgmill.%I (like pgmill.finished, primary key (id))', v_leaf);
      execute format(
        'alter table pgmill.%I attach partition pgmill.%I for values from (%L) to (%L)',
        'finished_' || v_state, v_leaf, v_day::timestamptz, (v_day + 1)::timestamptz);
      v_made := v_made + 1;
    exception
      when lock_not_available then return v_made;
      -- A job of that day came into `rest` just now, or another session made the day while this one waited.
      when check_violation or duplicate_table then null;
    end;
  end loop;
  return v_made;
end;
$$;

comment on function pgmill.add_partitions is 'Makes the partitions of finished for today and the next days.';

do $$ begin perform pgmill.grant_execute('pgmill.add_partitions', null); end $$;

-- file: sql/internal/add_plain_jobs.sql

create or replace function pgmill.add_plain_jobs(
  jobs jsonb
)
returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- The ordinary case of add_jobs, in two thirds of the time: small jobs of one queue that are ready at once, with no settings but
-- priority and max_attempts.
--
--   jobs  as add_jobs got it
--
-- Returns  the ids, in the order of jobs; null: not such a case, or something in it is wrong, and nothing was done.
-- Errors   none.
-- Moves    nothing -> ready.
-- Locks    as wake.
declare
  v_count int;
  v_queue text;
  v_ids   bigint[];
  v_now   timestamptz := clock_timestamp();
  v_slot  int         := pgmill.current_slot();
begin
  if jsonb_typeof(add_plain_jobs.jobs) is distinct from 'array' then
    return null;
  end if;
  v_count := jsonb_array_length(add_plain_jobs.jobs);
  v_queue := coalesce(add_plain_jobs.jobs->0->>'queue', 'default');
  if v_count not between 1 and 10000 or length(v_queue) not between 1 and 255 or exists (
    select
    from jsonb_array_elements(add_plain_jobs.jobs) e(job)
    where case
        -- Whatever else is in a job, its payload is smaller than all of it.
        when jsonb_typeof(e.job) = 'object' and not pgmill.is_large(e.job) then
          e.job - '{name,payload,queue,priority,max_attempts}'::text[] = '{}'
          and length(e.job->>'name') between 1 and 255
          and coalesce(e.job->>'queue', 'default') = v_queue
          -- The casts below can fail on none of these.
          and (e.job->>'priority' is null or e.job->>'priority' ~ '^-?[0-9]{1,9}$')
          and (e.job->>'max_attempts' is null or e.job->>'max_attempts' ~ '^[1-9][0-9]{0,2}$')
      end is not true)
  then
    return null;
  end if;

  v_ids := array(select nextval('pgmill.job_id') from generate_series(1, v_count));
  insert into pgmill.ready (id, queue, name, payload, priority, run_at, attempts, max_attempts, created_at, slot)
  select
    v_ids[e.ord], v_queue, e.job->>'name', coalesce(nullif(e.job->'payload', 'null'), '{}'), coalesce((e.job->>'priority')::int, 5),
    v_now, 0, coalesce((e.job->>'max_attempts')::int, 3), v_now, v_slot
  from jsonb_array_elements(add_plain_jobs.jobs) with ordinality e(job, ord);
  perform pgmill.wake(v_queue);
  return v_ids;
end;
$$;

comment on function pgmill.add_plain_jobs is 'Adds many jobs in the ordinary case.';

do $$ begin perform pgmill.grant_execute('pgmill.add_plain_jobs', null); end $$;

-- file: sql/internal/admit_all_due.sql

create or replace function pgmill.admit_all_due()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Lets due jobs of every queue in, so that they show as ready even where no worker asks for them.
--
-- Returns  how many; at most 10000 of each queue.
-- Errors   none.
-- Moves    waiting -> ready.
-- Locks    see admit_due.
declare
  v_began  timestamptz := clock_timestamp();
  v_queues text[];
begin
  -- Where finding the queues takes long, not every time.
  if pgmill.read_mark('queues') > '-infinity' then
    return 0;
  end if;
  -- The queues of `waiting`, one index probe each.
  with recursive each as (
    (select w.queue from pgmill.waiting w order by w.queue limit 1)
    union all
    select (select w.queue from pgmill.waiting w where w.queue > e.queue order by w.queue limit 1) from each e where e.queue is not null
  )
  select array_agg(e.queue) into v_queues from each e where e.queue is not null;
  if clock_timestamp() > v_began + interval '2 ms' then
    perform pgmill.set_mark('queues', 'waiting_queue_run_at', v_began, v_began);
  end if;
  if v_queues is null then
    return 0;
  end if;
  return pgmill.admit_due(v_queues, clock_timestamp(), 10000);
end;
$$;

comment on function pgmill.admit_all_due is 'Lets due jobs of every queue in.';

do $$ begin perform pgmill.grant_execute('pgmill.admit_all_due', null); end $$;

-- file: sql/internal/admit_due.sql

create or replace function pgmill.admit_due(
  queues   text[],
  due      timestamptz,
  max_jobs int
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Lets jobs in whose time has come.
--
--   queues    of these queues
--   due       with a run_at up to this
--   max_jobs  at most so many of each queue, the earliest first
--
-- Returns  how many.
-- Errors   none.
-- Moves    waiting -> ready.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
declare
  v_began timestamptz := clock_timestamp();
  v_mark  text        := pgmill.waiting_mark(admit_due.queues);
  v_from  timestamptz := pgmill.read_mark(v_mark);
  v_first timestamptz;
  v_slot  int         := pgmill.current_slot();
  v_count bigint;
begin
  select min(e.run_at) into v_first
  from unnest(admit_due.queues) q(queue)
  cross join lateral (
    select w.run_at
    from pgmill.waiting w
    where w.queue = q.queue and w.run_at >= v_from and w.run_at <= admit_due.due
    order by w.run_at
    limit 1
  ) e;
  if clock_timestamp() > v_began + interval '2 ms' then
    perform pgmill.set_mark(v_mark, 'waiting_queue_run_at', v_began, coalesce(v_first, admit_due.due));
  end if;
  if v_first is null then
    return 0;
  end if;

  with picked as materialized (
    select w.id
    from unnest(admit_due.queues) q(queue)
    cross join lateral (
      select w.id
      from pgmill.waiting w
      where w.queue = q.queue and w.run_at >= v_first and w.run_at <= admit_due.due
      order by w.run_at
      limit admit_due.max_jobs
      for update skip locked
    ) w
  ), gone as (
    -- between: see get_jobs
    delete from pgmill.waiting w using picked p where w.id between p.id and p.id returning w.*
  ), admitted as (
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick, v_slot
    from gone g
    returning 1
  )
  select count(*) into v_count from admitted;
  return v_count;
end;
$$;

comment on function pgmill.admit_due is 'Lets jobs in whose time has come.';

do $$ begin perform pgmill.grant_execute('pgmill.admit_due', null); end $$;

-- file: sql/internal/backoff.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.backoff', null); end $$;

-- file: sql/internal/cancel_ids.sql

create or replace function pgmill.cancel_ids(
  ids bigint[]
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Cancels the live ones among these jobs; a running one is asked to stop.
--
--   ids  without nulls, each once
--
-- Returns  how many were cancelled or newly asked.
-- Errors   none; 55P03 when a job slipped away a hundred times (see below), which takes a miracle.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the jobs' rows, by id, room by room in the order waiting, ready, running; then the rows of their keys. Waits for
--          calls that are just moving one of the jobs.
--
-- A job may change rooms meanwhile, so whatever is still alive and was not hit is looked for again, with a new snapshot. On its way
-- forward a job cannot outrun that for long: a row that was waited for and has left `ready` is in `running` by the next statement.
-- The keys are freed last, so that whoever waits for one of them does not hold up a job that this still has to lock.
declare
  v_now    timestamptz := clock_timestamp();
  v_left   bigint[]    := cancel_ids.ids;
  v_queues text[]      := '{}';
  v_keys   text[]      := '{}';
  v_count  bigint      := 0;
  v_asked  bigint      := 0;
  v        record;
begin
  for i in 1..100 loop
    with waiting as materialized (
      select w.id from pgmill.waiting w where w.id = any (v_left) order by w.id for update
    ), ready as materialized (
      select r.slot, r.id from pgmill.ready r where r.id = any (v_left) order by r.id for update
    ), not_due as (
      delete from pgmill.waiting w using waiting l where w.id = l.id
      returning
        w.id, w.queue, w.name, w.payload, w.priority, w.run_at, w.attempts, w.max_attempts,
        w.timeout, w.retry_base, w.retry_max, w.unique_key, w.errors, w.created_at, w.cron, w.cron_tick
    ), due as (
      delete from pgmill.ready r using ready l where r.slot = l.slot and r.id = l.id
      returning
        r.id, r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
        r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick
    ), gone as materialized (
      select n.* from not_due n union all select d.* from due d  -- evaluated in this order, and with it the locks
    ), ended as (
      insert into pgmill.finished (
        id, queue, name, payload, priority, run_at, attempts, max_attempts,
        timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, state, finished_at)
      select g.*, 'cancelled', v_now from gone g
    )
    select
      count(*) as count,
      array_agg(g.queue) filter (where g.unique_key is not null) as queues,
      array_agg(g.unique_key) filter (where g.unique_key is not null) as keys
    into v
    from gone g;
    v_count := v_count + v.count;
    v_queues := v_queues || v.queues;
    v_keys := v_keys || v.keys;

    with locked as materialized (
      select r.id from pgmill.running r where r.id = any (v_left) and not r.cancel_requested order by r.id for update
    ), asked as (
      update pgmill.running r set cancel_requested = true from locked l where r.id = l.id returning 1
    )
    select v_asked + count(*) into v_asked from asked;

    select array_agg(j.id) into v_left
    from (
      select w.id from pgmill.waiting w where w.id = any (v_left)
      union all
      select r.id from pgmill.ready r where r.id = any (v_left)
      union all
      select r.id from pgmill.running r where r.id = any (v_left) and not r.cancel_requested
    ) j;
    exit when v_left is null;
  end loop;
  if v_left is not null then
    raise exception using
      errcode = '55P03',
      message = format('Job %s changed rooms each time it was about to be cancelled.', v_left[1]),
      hint = 'Nothing was cancelled. Call again.';
  end if;

  delete from pgmill.job_key k using unnest(v_queues, v_keys) f(queue, unique_key) where k.queue = f.queue and k.unique_key = f.unique_key;
  if v_asked > 0 then
    perform pg_notify('pgmill_cancel', '');
  end if;
  return v_count + v_asked;
end;
$$;

comment on function pgmill.cancel_ids is 'Cancels the live ones among these jobs.';

do $$ begin perform pgmill.grant_execute('pgmill.cancel_ids', null); end $$;

-- file: sql/internal/check_claim.sql

create or replace function pgmill.check_claim(
  worker       text,
  max_jobs     int,
  queues       text[],
  names        text[],
  except_names text[],
  lease        interval,
  unordered    boolean
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks get_jobs' arguments.
--
--   get_jobs' parameters
--
-- Returns  nothing.
-- Errors   PM001 for the first that is wrong.
begin
  perform pgmill.check_filters(check_claim.queues, check_claim.names, check_claim.except_names);
  perform pgmill.check_text('worker', check_claim.worker);
  if check_claim.max_jobs is null or check_claim.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;
  perform pgmill.check_interval('lease', check_claim.lease, '1 millisecond', '30 days');
  if check_claim.unordered is null then
    perform pgmill.reject('unordered must not be null.', 'Give true or false.');
  end if;
end;
$$;

comment on function pgmill.check_claim is 'Checks get_jobs'' arguments.';

do $$ begin perform pgmill.grant_execute('pgmill.check_claim', null); end $$;

-- file: sql/internal/check_cron.sql

create or replace function pgmill.check_cron(
  name       text,
  owner      text,
  expression text,
  every      interval,
  timezone   text,
  missed     text,
  overlap    boolean
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks what is about to become a schedule; the parameters are cron_upsert's.
--
-- Returns  nothing.
-- Errors   PM001 for the first argument that is wrong; PM201 wrong expression, or one that never comes due; PM202 unknown zone.
declare
  v_now constant timestamptz := clock_timestamp();
begin
  perform pgmill.check_text('name', check_cron.name);
  perform pgmill.check_text('owner', check_cron.owner);
  if num_nonnulls(check_cron.expression, check_cron.every) <> 1 then
    perform pgmill.reject(
      'A schedule needs either expression or every.', 'Give a cron expression such as 0 9 * * 1-5, or an interval such as 1 hour.');
  end if;
  perform pgmill.cron_zone(check_cron.timezone);
  if check_cron.every is not null then
    perform pgmill.check_interval('every', check_cron.every, '1 second', '10 years');
    if pgmill.cron_after(null, check_cron.every, check_cron.timezone, v_now) < v_now + interval '1 second' then
      perform pgmill.reject('every has parts of different signs.', 'Give an interval such as 1 hour or 2 days.');
    end if;
  else
    perform pgmill.cron_after(check_cron.expression, null, check_cron.timezone, v_now);
  end if;
  if check_cron.missed is null or check_cron.missed not in ('once', 'skip', 'all') then
    perform pgmill.reject('missed is not known.', 'Use once, skip or all.');
  end if;
  if check_cron.overlap is null then
    perform pgmill.reject('overlap must not be null.', 'Give true or false.');
  end if;
end;
$$;

comment on function pgmill.check_cron is 'Checks what is about to become a schedule.';

do $$ begin perform pgmill.grant_execute('pgmill.check_cron', null); end $$;

-- file: sql/internal/check_failure.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.check_failure', null); end $$;

-- file: sql/internal/check_filters.sql

create or replace function pgmill.check_filters(
  queues       text[],
  names        text[],
  except_names text[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks which queues and names a worker asks for.
--
--   queues        not null, at least one; each list at most 10000
--   names         null: any name; an empty list matches nothing
--   except_names  null: none left out; not together with names
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_filters.queues is null or cardinality(check_filters.queues) = 0 then
    perform pgmill.reject('queues must hold at least one queue.', 'Leave queues out to work on the queue "default".');
  elsif greatest(cardinality(check_filters.queues), cardinality(check_filters.names), cardinality(check_filters.except_names)) > 10000 then
    perform pgmill.reject('queues, names and except_names hold at most 10000 names each.', 'Ask for fewer.');
  elsif greatest(array_ndims(check_filters.queues), array_ndims(check_filters.names), array_ndims(check_filters.except_names)) > 1 then
    perform pgmill.reject('queues, names and except_names must have one dimension.', 'Pass plain arrays.');
  elsif array_position(check_filters.queues, null) is not null or array_position(check_filters.queues, '') is not null then
    perform pgmill.reject('queues must hold no null and no empty name.', 'Remove it.');
  elsif check_filters.names is not null and check_filters.except_names is not null then
    perform pgmill.reject('names and except_names exclude each other.', 'Give one of them.');
  elsif array_position(check_filters.names, null) is not null then
    perform pgmill.reject('names must hold no null.', 'Remove it; names => null means any name.');
  elsif array_position(check_filters.except_names, null) is not null then
    perform pgmill.reject('except_names must hold no null.', 'Remove it.');
  end if;
end;
$$;

comment on function pgmill.check_filters is 'Checks which queues and names a worker asks for.';

do $$ begin perform pgmill.grant_execute('pgmill.check_filters', null); end $$;

-- file: sql/internal/check_id.sql

create or replace function pgmill.check_id(
  id bigint
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a job's id. Any number passes: a job that is not there is an ordinary outcome.
--
--   id  not null
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_id.id is null then
    perform pgmill.reject('id must not be null.', 'Give the id that add_job or find_jobs returned.');
  end if;
end;
$$;

comment on function pgmill.check_id is 'Checks a job''s id.';

do $$ begin perform pgmill.grant_execute('pgmill.check_id', null); end $$;

-- file: sql/internal/check_interval.sql

create or replace function pgmill.check_interval(
  argument text,
  value    interval,
  shortest interval,
  longest  interval
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a duration.
--
--   argument           what the caller calls it
--   value              null is refused: callers check only what was given
--   shortest, longest  the bounds, both allowed
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_interval.value is null then
    perform pgmill.reject(format('%s must not be null.', check_interval.argument), 'Leave it out to get the default.');
  elsif check_interval.value < check_interval.shortest or check_interval.value > check_interval.longest or not isfinite(check_interval.value) then
    perform pgmill.reject(
      format('%s is out of range.', check_interval.argument),
      format('Give %s between %s and %s.', check_interval.argument, check_interval.shortest, check_interval.longest));
  end if;
end;
$$;

comment on function pgmill.check_interval is 'Checks a duration.';

do $$ begin perform pgmill.grant_execute('pgmill.check_interval', null); end $$;

-- file: sql/internal/check_job.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.check_job', null); end $$;

-- file: sql/internal/check_jobs.sql

create or replace function pgmill.check_jobs(
  jobs       jsonb,
  out queues text[],
  out keyed  boolean,
  out later  boolean,
  out large  boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the array of add_jobs.
--
--   jobs  as add_jobs got it
--
-- Returns  queues: the queues it puts jobs into; keyed: whether any has a unique_key; later: whether any has a run_at;
--          large: whether any payload is.
-- Errors   PM001, with the position of the first object that is wrong, counted from 1.
declare
  v_good    boolean;
  v_first   text;
  v_last    text;
  v_ord     bigint;
  v_job     jsonb;
  v_message text;
  v_hint    text;
begin
  if jsonb_typeof(check_jobs.jobs) is distinct from 'array' then
    perform pgmill.reject('jobs must be an array.', 'Pass a JSON array of objects, one for each job.');
  elsif jsonb_array_length(check_jobs.jobs) > 10000 then
    perform pgmill.reject(format('jobs holds %s jobs; the limit is 10000.', jsonb_array_length(check_jobs.jobs)), 'Call once for each 10000.');
  end if;

  -- All at once, which is fast and only says whether everything is right. The block turns the errors of the casts
  -- into a no; it writes nothing, so it costs no subtransaction id.
  begin
    select coalesce(bool_and(
        e.job - '{name,payload,queue,priority,run_at,max_attempts,timeout,retry_base,retry_max,unique_key,on_duplicate}'::text[] = '{}'), true)
      into v_good
      from jsonb_array_elements(check_jobs.jobs) e(job);
    if v_good then
      select
        coalesce(bool_and(coalesce(
          r.name <> '' and length(r.name) <= 255
          and r.queue <> '' and length(r.queue) <= 255
          and pg_column_size(r.payload) <= 1048576
          and (r.run_at is null or isfinite(r.run_at))
          and r.max_attempts between 1 and 1000
          and (r.timeout is null or (r.timeout between '1 millisecond' and '366 days'))
          and (r.retry_base is null or r.retry_base between '0' and '366 days')
          and (r.retry_max is null or r.retry_max between '0' and '3660 days')
          and (r.unique_key is null or (r.unique_key <> '' and length(r.unique_key) <= 255))
          and r.on_duplicate in ('skip', 'replace', 'error'), false)), true),
        min(r.queue), max(r.queue),
        coalesce(bool_or(r.unique_key is not null), false),
        coalesce(bool_or(r.run_at is not null), false),
        coalesce(bool_or(pgmill.is_large(r.payload)), false)
      into v_good, v_first, v_last, keyed, later, large
      from pgmill.read_jobs(check_jobs.jobs) r;
      -- Mostly one; collecting them always would take as long as the rest of these.
      queues := case
        when v_first = v_last then array[v_first]
        else array(select distinct r.queue from pgmill.read_jobs(check_jobs.jobs) r)
      end;
    end if;
  exception
    when data_exception or invalid_parameter_value then v_good := false;
  end;
  if v_good then
    return;
  end if;

  -- One by one, to say which is wrong.
  for v_ord, v_job in select e.ord, e.job from jsonb_array_elements(check_jobs.jobs) with ordinality e(job, ord) order by e.ord loop
    begin
      if jsonb_typeof(v_job) <> 'object' then
        perform pgmill.reject('it is not an object.', 'Pass an object with add_job''s parameters as keys.');
      end if;
      perform pgmill.check_keys(
        v_job, '{name,payload,queue,priority,run_at,max_attempts,timeout,retry_base,retry_max,unique_key,on_duplicate}');
      perform pgmill.check_job(
        r.name, r.payload, r.queue, r.priority, r.run_at, r.max_attempts, r.timeout,
        coalesce(r.retry_base, '0'), coalesce(r.retry_max, '0'), r.unique_key, r.on_duplicate)
      from pgmill.read_jobs(jsonb_build_array(v_job)) r;
    exception
      when sqlstate 'PM001' then
        get stacked diagnostics v_message = message_text, v_hint = pg_exception_hint;
        perform pgmill.reject(format('Job %s: %s', v_ord, v_message), v_hint);
      when data_exception or invalid_parameter_value then
        -- The message of a failed cast quotes the value; ours does not.
        perform pgmill.reject(
          format('Job %s: a value is not of its parameter''s type.', v_ord),
          'priority and max_attempts are whole numbers, run_at is a timestamp, timeout, retry_base and retry_max are durations such as "90 seconds".');
    end;
  end loop;
end;
$$;

comment on function pgmill.check_jobs is 'Checks the array of add_jobs.';

do $$ begin perform pgmill.grant_execute('pgmill.check_jobs', null); end $$;

-- file: sql/internal/check_keys.sql

create or replace function pgmill.check_keys(
  object jsonb,
  known  text[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses a key that would otherwise be passed over in silence, such as a misspelt one.
--
--   object  a JSON object
--   known   the keys it may have
--
-- Returns  nothing.
-- Errors   PM001. The key is named only when it is short: a payload put in the wrong place must not show.
declare
  v_key text;
begin
  select k into v_key from jsonb_object_keys(check_keys.object) k where k <> all (check_keys.known) order by k limit 1;
  if found then
    perform pgmill.reject(
      case when v_key ~ '^[A-Za-z_]{1,30}$' then format('the key %s is not known.', quote_ident(v_key)) else 'a key is not known.' end,
      format('Known keys: %s.', array_to_string(check_keys.known, ', ')));
  end if;
end;
$$;

comment on function pgmill.check_keys is 'Refuses unknown keys of an object.';

do $$ begin perform pgmill.grant_execute('pgmill.check_keys', null); end $$;

-- file: sql/internal/check_leases.sql

create or replace function pgmill.check_leases(
  ids    bigint[],
  tokens uuid[]
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the pairs (id, token) with which a worker names the leases it holds.
--
--   ids, tokens  plain arrays of one length, at most 10000, without nulls
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_leases.ids is null or check_leases.tokens is null then
    perform pgmill.reject('ids and tokens must not be null.', 'Pass both as get_jobs returned them.');
  elsif cardinality(check_leases.ids) <> cardinality(check_leases.tokens) then
    perform pgmill.reject(
      format('There are %s ids and %s tokens.', cardinality(check_leases.ids), cardinality(check_leases.tokens)), 'Pass one token for each id, in the same order.');
  elsif cardinality(check_leases.ids) > 10000 then
    perform pgmill.reject(format('There are %s ids; the limit is 10000.', cardinality(check_leases.ids)), 'Call once for each 10000.');
  elsif array_ndims(check_leases.ids) > 1 or array_ndims(check_leases.tokens) > 1 then
    perform pgmill.reject('ids and tokens must have one dimension.', 'Pass plain arrays.');
  elsif array_position(check_leases.ids, null) is not null or array_position(check_leases.tokens, null) is not null then
    perform pgmill.reject('ids and tokens must hold no null.', 'Pass both as get_jobs returned them.');
  end if;
end;
$$;

comment on function pgmill.check_leases is 'Checks the pairs (id, token) of leases.';

do $$ begin perform pgmill.grant_execute('pgmill.check_leases', null); end $$;

-- file: sql/internal/check_payload.sql

create or replace function pgmill.check_payload(
  argument text,
  value    jsonb
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the size of a payload or a result.
--
--   argument  'payload' or 'result'
--   value     at most 1 MiB as jsonb; null passes, where it means none
--
-- Returns  nothing.
-- Errors   PM001; the message holds the size, never the value.
declare
  -- The whole of it, that is: a value that comes straight from a table may be compressed.
  v_size int := pg_column_size(check_payload.value #> '{}');
begin
  if v_size > 1048576 then
    perform pgmill.reject(
      format('%s takes %s bytes; the limit is 1 MiB.', check_payload.argument, v_size),
      'Store the data in a table or an object store and pass its key.');
  end if;
end;
$$;

comment on function pgmill.check_payload is 'Checks the size of a payload or a result.';

do $$ begin perform pgmill.grant_execute('pgmill.check_payload', null); end $$;

-- file: sql/internal/check_results.sql

create or replace function pgmill.check_results(
  results jsonb,
  count   int
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the results of complete_jobs.
--
--   results  an array with one element for each job, each at most 1 MiB; not null
--   count    how many jobs there are
--
-- Returns  nothing.
-- Errors   PM001; the message never holds a result.
begin
  if jsonb_typeof(check_results.results) <> 'array' or jsonb_array_length(check_results.results) <> check_results.count then
    perform pgmill.reject('results must be an array as long as ids.', 'Give one element for each id, null for none.');
  elsif pg_column_size(check_results.results) > 1048576 or pg_column_compression(check_results.results) is not null then
    perform pgmill.check_payload('result', r) from jsonb_array_elements(check_results.results) r;
  end if;
end;
$$;

comment on function pgmill.check_results is 'Checks the results of complete_jobs.';

do $$ begin perform pgmill.grant_execute('pgmill.check_results', null); end $$;

-- file: sql/internal/check_run_at.sql

create or replace function pgmill.check_run_at(
  argument text,
  value    timestamptz
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks a point in time. Null passes: it means now, or no bound.
--
--   argument  what the caller calls it
--   value     must be finite: a job at infinity would never run, and nobody would see why
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if not isfinite(check_run_at.value) then
    perform pgmill.reject(format('%s must be a finite time.', check_run_at.argument), 'Give a timestamp, or null.');
  end if;
end;
$$;

comment on function pgmill.check_run_at is 'Checks a point in time.';

do $$ begin perform pgmill.grant_execute('pgmill.check_run_at', null); end $$;

-- file: sql/internal/check_selection.sql

create or replace function pgmill.check_selection(
  name       text,
  queue      text,
  unique_key text,
  run_from   timestamptz,
  run_until  timestamptz
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks by what an administrator selects jobs. Null passes everywhere: it means any.
--
--   name, queue, unique_key  1 to 255 characters
--   run_from, run_until      finite, and in this order
--
-- Returns  nothing.
-- Errors   PM001.
begin
  if check_selection.name is not null then
    perform pgmill.check_text('name', check_selection.name);
  end if;
  if check_selection.queue is not null then
    perform pgmill.check_text('queue', check_selection.queue);
  end if;
  if check_selection.unique_key is not null then
    perform pgmill.check_text('unique_key', check_selection.unique_key);
  end if;
  perform pgmill.check_run_at('run_from', check_selection.run_from);
  perform pgmill.check_run_at('run_until', check_selection.run_until);
  if check_selection.run_from > check_selection.run_until then
    perform pgmill.reject('run_from is later than run_until.', 'Swap them: jobs with run_from <= run_at < run_until are selected.');
  end if;
end;
$$;

comment on function pgmill.check_selection is 'Checks by what an administrator selects jobs.';

do $$ begin perform pgmill.grant_execute('pgmill.check_selection', null); end $$;

-- file: sql/internal/check_text.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.check_text', null); end $$;

-- file: sql/internal/claim_across.sql

create or replace function pgmill.claim_across(
  worker       text,
  max_jobs     int,
  queues       text[],
  names        text[],
  except_names text[],
  lease        interval
)
returns table (
  id           bigint,
  token        uuid,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  attempt      int,
  max_attempts int,
  run_at       timestamptz,
  created_at   timestamptz,
  timeout      interval,
  lease_until  timestamptz,
  cron         jsonb
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Claims the most urgent jobs over several queues, for get_jobs, which claims from one at a time.
--
--   get_jobs' parameters, checked
--
-- Returns  as get_jobs.
-- Errors   none.
-- Moves    ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
--
-- get_jobs' settings pin the plans here too.
#variable_conflict use_column
declare
  v_queues text[];
  v_takes  int[];
  v_queue  text;
begin
  -- First see how many of the most urgent jobs lie in each queue, then claim so many from each.
  -- Locking max_jobs in every queue and keeping a part would hide the rest from other workers.
  select array_agg(s.queue), array_agg(s.take) into v_queues, v_takes
  from (
    select r.queue, count(*)::int as take
    from (
      select r.queue
      from (select distinct q from unnest(claim_across.queues) q) q(queue)
      cross join lateral (
        select r.queue, r.priority, r.run_at, r.id
        from pgmill.ready r
        where r.queue = q.queue
          and (claim_across.names is null or r.name = any (claim_across.names))
          and (claim_across.except_names is null or r.name <> all (claim_across.except_names))
        order by r.priority, r.run_at, r.id
        limit claim_across.max_jobs
      ) r
      order by r.priority, r.run_at, r.id
      limit claim_across.max_jobs
    ) r
    group by r.queue
  ) s;
  if v_queues is null then
    return;
  end if;
  return query
  select c.*
  from unnest(v_queues, v_takes) s(queue, take)
  cross join lateral pgmill.get_jobs(
    claim_across.worker, s.take, array[s.queue], claim_across.names, claim_across.except_names, claim_across.lease) c
  order by c.priority, c.run_at, c.id;

  if not found then
    -- Others are just claiming all of these: take the most urgent job that nobody holds, so that a worker does not fall
    -- asleep while there is work.
    select r.queue into v_queue
    from (select distinct q from unnest(claim_across.queues) q) q(queue)
    cross join lateral (
      select r.queue, r.priority, r.run_at, r.id
      from pgmill.ready r
      where r.queue = q.queue
        and (claim_across.names is null or r.name = any (claim_across.names))
        and (claim_across.except_names is null or r.name <> all (claim_across.except_names))
      order by r.priority, r.run_at, r.id
      limit 1
      for update skip locked
    ) r
    order by r.priority, r.run_at, r.id
    limit 1;
    if found then
      return query
      select c.*
      from pgmill.get_jobs(
        claim_across.worker, 1, array[v_queue], claim_across.names, claim_across.except_names, claim_across.lease) c;
    end if;
  end if;
end;
$$;

comment on function pgmill.claim_across is 'Claims the most urgent jobs over several queues.';

do $$ begin perform pgmill.grant_execute('pgmill.claim_across', null); end $$;

-- file: sql/internal/cron_after.sql

create or replace function pgmill.cron_after(
  expression text,
  every      interval,
  timezone   text,
  tick       timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the tick after another one.
--
--   expression, every, timezone  a schedule: a cron expression, or an interval
--   tick                         the other tick
--
-- Returns  the next tick: of an interval, its months and days later by the zone's calendar, its hours and less by the clock.
-- Errors   those of cron_next; PM201 when the expression never comes due again.
declare
  v_days interval;
  v_tick timestamptz;
begin
  if every is not null then
    v_days := make_interval(
      months => (extract(year from every) * 12 + extract(month from every))::int, days => extract(day from every)::int);
    if v_days = '0' then
      return tick + every;  -- by the calendar, a time that comes twice would be the second one
    end if;
    return ((tick at time zone timezone) + v_days) at time zone timezone + (every - v_days);
  end if;
  v_tick := pgmill.cron_next(expression, tick, timezone);
  if v_tick is null then
    raise exception using errcode = 'PM201', message = 'The cron expression never comes due: no such day of the month is in its months.',
      hint = 'Give a day that exists, such as L for the last day of the month.';
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.cron_after is 'Finds the tick after another one.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_after', null); end $$;

-- file: sql/internal/cron_change.sql

create or replace function pgmill.cron_change(
  timezone text,
  earlier  timestamptz,
  later    timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the moment between two others at which a zone's clocks are changed.
--
--   timezone        a name of pg_timezone_names
--   earlier, later  whole seconds, with different offsets from UTC
--
-- Returns  the first second that has the new offset: after earlier, and later at the latest.
-- Errors   none.
declare
  v_offset constant interval := (earlier at time zone timezone) - (earlier at time zone 'UTC');
  v_old    timestamptz := earlier;
  v_new    timestamptz := later;
  v_middle timestamptz;
begin
  while v_new - v_old > interval '1 second' loop
    v_middle := v_old + make_interval(secs => floor(extract(epoch from v_new - v_old) / 2)::int);
    if (v_middle at time zone timezone) - (v_middle at time zone 'UTC') = v_offset then
      v_old := v_middle;
    else
      v_new := v_middle;
    end if;
  end loop;
  return v_new;
end;
$$;

comment on function pgmill.cron_change is 'Finds the moment at which a zone''s clocks are changed.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_change', null); end $$;

-- file: sql/internal/cron_context.sql

create or replace function pgmill.cron_context(
  name text,
  tick timestamptz
)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Makes what get_jobs tells of a recurring job.
--
--   name, tick  the schedule, and the tick the job was added for
--
-- Returns  {name, expression, tick, last_completed_at}. expression is null for an interval and for a schedule that was removed;
--          last_completed_at is when a job of the schedule last succeeded, null before the first time.
-- Errors   none.
begin
  return jsonb_build_object(
    'name', cron_context.name,
    'expression', (select c.expression from pgmill.cron c where c.name = cron_context.name),
    'tick', cron_context.tick,
    'last_completed_at', (select max(t.completed_at) from pgmill.cron_tick t where t.cron = cron_context.name));
end;
$$;

comment on function pgmill.cron_context is 'Makes what get_jobs tells of a recurring job.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_context', null); end $$;

-- file: sql/internal/cron_days.sql

create or replace function pgmill.cron_days(
  sets  bigint[],
  first date
)
returns bigint
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the days of one month that a cron expression selects; the month field is not looked at.
--
--   sets   the expression, as cron_parse returned it
--   first  the first day of the month
--
-- Returns  bit n set = day n is selected.
-- Errors   none.
declare
  v_length  constant int := extract(day from first + interval '1 month' - interval '1 day');
  v_weekday constant int := extract(dow from first);
  -- In every week of seven bits the ones that stay in it when the week is turned to begin on v_weekday.
  v_low     constant bigint := ((1::bigint << (7 - v_weekday)) - 1) * 270549121;
  v_all     constant bigint := (1::bigint << 35) - 1;
  v_weeks   constant bigint := sets[6] & v_all;
  v_lasts   constant bigint := sets[6] >> 35;
  v_turn    int;
  v_days    bigint := sets[4];
begin
  -- Days 1 to 7 are the first of their weekday, 8 to 14 the second, and so on.
  v_days := v_days | ((((v_weeks >> v_weekday) & v_low) | ((v_weeks << (7 - v_weekday)) & v_all & ~v_low)) << 1);
  if v_lasts > 0 then
    -- The last seven days are the last of their weekday; v_turn is the weekday of the first of them.
    v_turn := (v_weekday + v_length) % 7;
    v_days := v_days | ((((v_lasts >> v_turn) | (v_lasts << (7 - v_turn))) & 127) << (v_length - 6));
  end if;
  if (sets[4] & 1) = 1 then
    v_days := v_days | (1::bigint << v_length);
  end if;
  return v_days & ((1::bigint << (v_length + 1)) - 2);
end;
$$;

comment on function pgmill.cron_days is 'Finds the days of one month that a cron expression selects.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_days', null); end $$;

-- file: sql/internal/cron_field.sql

create or replace function pgmill.cron_field(
  field text,
  place int
)
returns bigint
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads one field of a cron expression into a set of bits. No regular expressions: they cost ten times as much.
--
--   field  the field's text in lower case: a list of *, ?, a, a-b, each with an optional /step, and L, 5L, 1#2
--   place  1 second, 2 minute, 3 hour, 4 day of month, 5 month, 6 day of week
--
-- Returns  bit n set = the value n is selected. Day of month: bit 0 = the last day (L). Day of week: bit
--          7 * (week - 1) + day for day 0 (Sunday) to 6 in week 1 to 5; bit 35 + day for the last one (5L).
-- Errors   PM201 naming the field.
declare
  v_min   constant int := ('{0,0,0,1,1,0}'::int[])[place];
  v_max   constant int := ('{59,59,23,31,12,7}'::int[])[place];
  v_item  text;
  v_parts text[];
  v_week  int;
  v_step  int;
  v_from  int;
  v_to    int;
  v_bits  bigint := 0;
begin
  foreach v_item in array string_to_array(field, ',') loop
    if place = 4 and v_item = 'l' then
      v_bits := v_bits | 1;
      continue;
    end if;

    -- The week: null is every one, 6 the last one; 0 here and below stands for what cannot be read.
    v_week := null;
    v_step := 1;
    v_parts := string_to_array(v_item, '/');
    if cardinality(v_parts) = 2 then
      v_step := coalesce(pgmill.cron_value(v_parts[2], null), 0);
    elsif place = 6 and v_item like '%l' then
      v_week := 6;
      v_parts[1] := left(v_item, -1);
    elsif place = 6 and v_item like '%#_' then
      v_week := coalesce(strpos('12345', right(v_item, 1)), 0);
      v_parts[1] := left(v_item, -2);
    end if;

    if v_parts[1] in ('*', '?') and v_week is null then
      v_from := v_min;
      v_to := v_max;
    else
      v_from := pgmill.cron_value(split_part(v_parts[1], '-', 1), place);
      v_to := case
        when strpos(v_parts[1], '-') > 0 then pgmill.cron_value(substr(v_parts[1], strpos(v_parts[1], '-') + 1), place)
        when cardinality(v_parts) = 2 then v_max
        else v_from
      end;
    end if;

    if cardinality(v_parts) > 2 or v_step < 1 or v_week < 1 or (v_week > 0 and v_parts[1] like '%-%')
      or v_from is null or v_to is null or v_from > v_to or v_from < v_min or v_to > v_max
    then
      perform pgmill.cron_refuse(v_item, place);
    end if;

    for v_value in v_from..v_to by v_step loop
      v_bits := v_bits | case
        when place < 6 then 1::bigint << v_value
        when v_week is null then 270549121::bigint << (v_value % 7)  -- in all five weeks
        else 1::bigint << (7 * (v_week - 1) + v_value % 7)
      end;
    end loop;
  end loop;
  return v_bits;
end;
$$;

comment on function pgmill.cron_field is 'Reads one field of a cron expression into a set of bits.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_field', null); end $$;

-- file: sql/internal/cron_find.sql

create or replace function pgmill.cron_find(
  sets     bigint[],
  earliest timestamp
)
returns timestamp
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the first local time that a cron expression selects; knows nothing of time zones.
--
--   sets      the expression, as cron_parse returned it
--   earliest  a local time in whole seconds
--
-- Returns  the first one at or after earliest; null when there is none in 41 years, and so never: the
--          rarest day that can be asked for, a fifth weekday of February (29 February on a given
--          weekday), comes back within 40 years, also over a century without a leap day.
-- Errors   none.
declare
  v_first date := date_trunc('month', earliest);
  v_last  constant date := v_first + interval '41 years';
  v_day   int := extract(day from earliest);
  v_days  bigint;
  v_time  time := earliest::time;
begin
  while v_first <= v_last loop
    if ((sets[5] >> extract(month from v_first)::int) & 1) = 1 then
      v_days := (pgmill.cron_days(sets, v_first) >> v_day) << v_day;
      if ((v_days >> v_day) & 1) = 1 then
        v_time := pgmill.cron_time(sets, v_time);
        if v_time is not null then
          return v_first + (v_day - 1) + v_time;
        end if;
        v_days := v_days & ~(1::bigint << v_day);
      end if;
      if v_days > 0 then
        return v_first + (pgmill.cron_lowest(v_days) - 1) + pgmill.cron_time(sets, '00:00');
      end if;
    end if;
    v_first := v_first + interval '1 month';
    v_day := 1;
    v_time := '00:00';
  end loop;
  return null;
end;
$$;

comment on function pgmill.cron_find is 'Finds the first local time that a cron expression selects.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_find', null); end $$;

-- file: sql/internal/cron_first.sql

create or replace function pgmill.cron_first(
  expression text,
  every      interval,
  timezone   text,
  last_tick  timestamptz,
  now        timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the tick from which a schedule goes on that was added, changed or resumed.
--
--   expression, every, timezone  the schedule
--   last_tick                    its last tick; null: none yet
--   now                          the time of the call
--
-- Returns  of an expression, the next tick from now. Of an interval, at once the first time; else the last tick and the interval,
--          or now and the interval when that is past.
-- Errors   PM201.
declare
  v_tick timestamptz;
begin
  if every is null then
    -- The clock may have been put back since the last tick: never the same tick twice.
    return pgmill.cron_after(expression, null, timezone, greatest(now, last_tick));
  elsif last_tick is null then
    return date_trunc('second', now);
  end if;
  v_tick := pgmill.cron_after(null, every, timezone, last_tick);
  return case when v_tick > now then v_tick else pgmill.cron_after(null, every, timezone, now) end;
end;
$$;

comment on function pgmill.cron_first is 'Finds the tick from which a schedule goes on.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_first', null); end $$;

-- file: sql/internal/cron_latest.sql

create or replace function pgmill.cron_latest(
  expression text,
  timezone   text,
  tick       timestamptz,
  now        timestamptz
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the latest tick that is due, in a few steps even when a schedule of every second was left alone for years.
--
--   expression, timezone  the schedule
--   tick                  a tick that is due
--   now                   the time of the call
--
-- Returns  the last tick up to now.
-- Errors   those of cron_next.
declare
  v_tick   timestamptz := tick;
  v_until  timestamptz := now;
  v_middle timestamptz;
  v_next   timestamptz;
begin
  loop
    v_next := pgmill.cron_next(expression, v_tick, timezone);
    exit when v_next > now or v_next is null;
    -- Two ticks or more are left: is there one in the later half?
    v_middle := v_next + (v_until - v_next) / 2;
    v_tick := v_next;
    v_next := pgmill.cron_next(expression, v_middle, timezone);
    if v_next <= now then
      v_tick := v_next;
    else
      v_until := v_middle;
    end if;
  end loop;
  return v_tick;
end;
$$;

comment on function pgmill.cron_latest is 'Finds the latest tick that is due.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_latest', null); end $$;

-- file: sql/internal/cron_live.sql

create or replace function pgmill.cron_live(
  name text
)
returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Finds the jobs of a schedule that have not ended.
--
--   name  the schedule
--
-- Returns  the ids of those that are scheduled (for a retry), ready or running; {} when there are none.
-- Errors   none.
--
-- The settings keep a session that planned this while the rooms were empty from reading full ones from end to end.
declare
  v_ids bigint[];
begin
  select array_agg(t.job_id) into v_ids
  from pgmill.cron_tick t
  where t.cron = cron_live.name and t.job_id is not null and t.completed_at is null;
  -- One statement: a job that moves meanwhile is seen in one room or the other.
  return array(
    select j.id from pgmill.ready j where j.id = any (v_ids)
    union all
    select j.id from pgmill.running j where j.id = any (v_ids)
    union all
    select j.id from pgmill.waiting j where j.id = any (v_ids)
  );
end;
$$;

comment on function pgmill.cron_live is 'Finds the jobs of a schedule that have not ended.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_live', null); end $$;

-- file: sql/internal/cron_lowest.sql

create or replace function pgmill.cron_lowest(
  bits bigint
)
returns int
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the lowest bit of a set.
--
--   bits  a set, not 0
--
-- Returns  the bit's number, from 0.
-- Errors   none.
begin
  return 64 - position(B'1' in (bits & -bits)::bit(64));
end;
$$;

comment on function pgmill.cron_lowest is 'Finds the lowest bit of a set.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_lowest', null); end $$;

-- file: sql/internal/cron_names.sql

create or replace function pgmill.cron_names(
  owner text,
  crons jsonb
)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Checks the form of cron_sync's list.
--
--   owner, crons  cron_sync's parameters
--
-- Returns  the names in the list.
-- Errors   PM001.
declare
  v_item  jsonb;
  v_names text[] := '{}';
begin
  perform pgmill.check_text('owner', cron_names.owner);
  if jsonb_typeof(cron_names.crons) is distinct from 'array' then
    perform pgmill.reject('crons must be an array.', 'Give an array of objects such as {"name": "report", "expression": "0 9 * * *"}.');
  elsif jsonb_array_length(cron_names.crons) > 10000 then
    perform pgmill.reject('crons has more than 10000 schedules.', 'Share them among several owners.');
  end if;
  for v_item in select e from jsonb_array_elements(cron_names.crons) e loop
    if jsonb_typeof(v_item) <> 'object' or jsonb_typeof(v_item -> 'name') is distinct from 'string' then
      perform pgmill.reject('crons has an element without a name.', 'Give objects such as {"name": "report", "expression": "0 9 * * *"}.');
    elsif v_item ->> 'name' = any (v_names) then
      perform pgmill.reject('crons has a name twice.', 'Give each schedule a name of its own; its jobs may share a job_name.');
    end if;
    v_names := v_names || (v_item ->> 'name');
  end loop;
  return v_names;
end;
$$;

comment on function pgmill.cron_names is 'Checks the form of the list of cron_sync.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_names', null); end $$;

-- file: sql/internal/cron_parse.sql

create or replace function pgmill.cron_parse(
  expression text
)
returns bigint[]
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads a cron expression into six sets of bits.
--
--   expression  five fields, six with seconds first, or a name such as @daily
--
-- Returns  the sets of cron_field in its order: second, minute, hour, day of month, month, day of week.
--          A day matches when either day set has it: a field that is exactly * or ? is left empty when
--          the other one is not.
-- Errors   PM001 for null; PM201 with the field that is wrong.
declare
  v_text   text;
  v_fields text[];
  v_sets   bigint[];
begin
  if expression is null then
    raise exception using errcode = 'PM001', message = 'expression must not be null.',
      hint = 'Give a cron expression such as 0 9 * * 1-5.';
  end if;
  if length(expression) > 1024 then
    raise exception using errcode = 'PM201', message = 'The cron expression is longer than 1024 characters.',
      hint = 'Use ranges and steps in place of long lists.';
  end if;

  -- Collation C: in some languages lower('I') is not i.
  v_fields := array_remove(string_to_array(translate(lower(expression collate "C"), E'\t\n\r\f\x0b', '     '), ' '), '');
  v_text := case array_to_string(v_fields, ' ')
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
    when '@monthly' then '0 0 1 * *'
    when '@weekly' then '0 0 * * 0'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@hourly' then '0 * * * *'
  end;
  if v_text is not null then
    v_fields := string_to_array(v_text, ' ');
  elsif v_fields[1] like '@%' then
    raise exception using errcode = 'PM201', message = format('The cron expression "%s" is not known.', left(expression, 40)),
      hint = 'Use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or five fields.';
  end if;

  if cardinality(v_fields) = 5 then
    v_fields := array_prepend('0', v_fields);
  elsif cardinality(v_fields) <> 6 then
    raise exception using errcode = 'PM201',
      message = format('The cron expression has %s fields, not five or six.', cardinality(v_fields)),
      hint = 'The fields are minute, hour, day of month, month, day of week; a sixth in front is the second.';
  end if;

  for v_place in 1..6 loop
    v_sets[v_place] := pgmill.cron_field(v_fields[v_place], v_place);
  end loop;
  if v_fields[6] in ('*', '?') then
    v_sets[6] := 0;
  elsif v_fields[4] in ('*', '?') then
    v_sets[4] := 0;
  end if;
  return v_sets;
end;
$$;

comment on function pgmill.cron_parse is 'Reads a cron expression into six sets of bits.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_parse', null); end $$;

-- file: sql/internal/cron_refuse.sql

create or replace function pgmill.cron_refuse(
  item  text,
  place int
)
returns void
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Raises the error for a wrong field of a cron expression.
--
--   item   the part of the field that cannot be read
--   place  1 second, 2 minute, 3 hour, 4 day of month, 5 month, 6 day of week
--
-- Returns  never.
-- Errors   PM201 naming the field.
declare
  v_names constant text[] := '{second,minute,hour,day-of-month,month,day-of-week}';
  v_hints constant text[] := array[
    'Use 0 to 59',
    'Use 0 to 59',
    'Use 0 to 23',
    'Use 1 to 31, or L for the last day',
    'Use 1 to 12 or jan to dec',
    'Use 0 to 7 (0 and 7 are Sunday) or sun to sat; 5L is the last Friday of the month, 1#2 its second Monday'
  ];
begin
  raise exception using
    errcode = 'PM201',
    message = format('The %s field of the cron expression is wrong at "%s".', v_names[place], left(item, 40)),
    hint = v_hints[place] || '; * for all, a-b with the smaller value first, /n for every n-th, commas between.';
end;
$$;

comment on function pgmill.cron_refuse is 'Raises the error for a wrong field of a cron expression.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_refuse', null); end $$;

-- file: sql/internal/cron_time.sql

create or replace function pgmill.cron_time(
  sets     bigint[],
  earliest time
)
returns time
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the first time of day that a cron expression selects.
--
--   sets      the expression, as cron_parse returned it
--   earliest  a time of day in whole seconds
--
-- Returns  the first one at or after earliest; null when the day has no more.
-- Errors   none.
declare
  v_hour    int := extract(hour from earliest);
  v_minute  int := extract(minute from earliest);
  v_second  int := extract(second from earliest);
  v_rest    bigint;
begin
  if ((sets[3] >> v_hour) & 1) = 1 then
    if ((sets[2] >> v_minute) & 1) = 1 then
      v_rest := (sets[1] >> v_second) << v_second;
      if v_rest > 0 then
        return make_time(v_hour, v_minute, pgmill.cron_lowest(v_rest));
      end if;
    end if;
    v_rest := (sets[2] >> (v_minute + 1)) << (v_minute + 1);
    if v_rest > 0 then
      return make_time(v_hour, pgmill.cron_lowest(v_rest), pgmill.cron_lowest(sets[1]));
    end if;
  end if;
  v_rest := (sets[3] >> (v_hour + 1)) << (v_hour + 1);
  if v_rest > 0 then
    return make_time(pgmill.cron_lowest(v_rest), pgmill.cron_lowest(sets[2]), pgmill.cron_lowest(sets[1]));
  end if;
  return null;
end;
$$;

comment on function pgmill.cron_time is 'Finds the first time of day that a cron expression selects.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_time', null); end $$;

-- file: sql/internal/cron_value.sql

create or replace function pgmill.cron_value(
  value text,
  place int
)
returns int
language plpgsql
immutable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Reads a number, a month's name or a weekday's name of a cron expression.
--
--   value  up to four digits, or the first three letters of a name in lower case
--   place  5 month, 6 day of week; the others have no names
--
-- Returns  the number; null when it is neither.
-- Errors   none.
begin
  if value <> '' and length(value) <= 4 and ltrim(value, '0123456789') = '' then
    return value::int;
  elsif place = 5 then
    return array_position('{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}', value);
  elsif place = 6 then
    return array_position('{sun,mon,tue,wed,thu,fri,sat}', value) - 1;
  end if;
  return null;
end;
$$;

comment on function pgmill.cron_value is 'Reads a number, a month''s name or a weekday''s name of a cron expression.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_value', null); end $$;

-- file: sql/internal/cron_zone.sql

create or replace function pgmill.cron_zone(
  timezone text
)
returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses a time zone that is not a name of pg_timezone_names.
--
--   timezone  a name such as Europe/Amsterdam, in its exact case; abbreviations and POSIX strings such as
--             UTC+2 (two hours behind Greenwich there) are refused, though the server would take them
--
-- Returns  nothing.
-- Errors   PM001 for null; PM202 for an unknown name.
begin
  if timezone is null then
    raise exception using errcode = 'PM001', message = 'timezone must not be null.',
      hint = 'Give a name such as UTC or Europe/Amsterdam.';
  end if;
  -- Reading pg_timezone_names opens every zone's file (some 30 ms), so it was copied when pgmill was
  -- installed; only a name that the copy lacks is looked up there.
  if exists (select from pgmill.timezone where timezone.name = cron_zone.timezone)
    or exists (select from pg_timezone_names as known where known.name = cron_zone.timezone)
  then
    return;
  end if;
  raise exception using errcode = 'PM202', message = format('The time zone "%s" is not known.', left(timezone, 40)),
    hint = 'Use a name from pg_timezone_names in its exact case, such as Europe/Amsterdam; no abbreviations or offsets.';
end;
$$;

comment on function pgmill.cron_zone is 'Refuses a time zone that is not a name of pg_timezone_names.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_zone', null); end $$;

-- file: sql/internal/current_slot.sql

create or replace function pgmill.current_slot()
returns int
language sql
volatile
as $$
  -- The slot of `ready` that inserts go to; read it before the statement that inserts, for turn_ring may have made a new one. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  -- Returns  its number.
  -- Errors   none.
  select coalesce(pg_sequence_last_value('pgmill.ready_slot'), 0)
$$;

comment on function pgmill.current_slot is 'The slot of ready that inserts go to.';

do $$ begin perform pgmill.grant_execute('pgmill.current_slot', null); end $$;

-- file: sql/internal/delete_ended.sql

create or replace function pgmill.delete_ended(
  state  text,
  before timestamptz
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '20ms'
as $$
-- Deletes jobs that ended long enough ago, where no whole day can be dropped: in the day that is partly old, and in the `rest`
-- partition.
--
--   state   completed, failed, cancelled
--   before  those that ended before then
--
-- Returns  how many; at most 100,000.
-- Errors   none.
-- Locks    the jobs' rows, then those of large payloads; passes over rows that others hold (retry_job), and over a table that another cleanup drops.
declare
  v_leaf  text;
  v_count bigint;
  v_total bigint := 0;
  v_large bigint[];
begin
  for v_leaf in
    select l.leaf
    from pgmill.finished_leaves() l
    where l.state = delete_ended.state and (l.starts is null or (l.starts < delete_ended.before and l.ends > delete_ended.before))
  loop
    begin
      execute format(
        'with old as materialized (
           select f.id, f.payload is null as large from pgmill.%1$I f where f.finished_at < $1 limit $2 for update skip locked
         ), gone as (
           delete from pgmill.%1$I f using old o where f.id = o.id returning o.id, o.large
         )
         select count(*), array_agg(g.id) filter (where g.large) from gone g', v_leaf)
      into v_count, v_large using delete_ended.before, 100000 - v_total;
      if v_large is not null then
        delete from pgmill.payload p where p.id = any (v_large);
      end if;
      v_total := v_total + v_count;
    exception
      when lock_not_available or undefined_table then null;
    end;
  end loop;
  return v_total;
end;
$$;

comment on function pgmill.delete_ended is 'Deletes jobs that ended long enough ago.';

do $$ begin perform pgmill.grant_execute('pgmill.delete_ended', null); end $$;

-- file: sql/internal/drop_days.sql

create or replace function pgmill.drop_days(
  states  text[],
  befores timestamptz[]
)
returns table (state text, removed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '20ms'
as $$
-- Drops the partitions of `finished` whose whole day is old.
--
--   states   completed, failed, cancelled
--   befores  as many: what ended before then is old, each for its state; none in the future
--
-- Returns  rows whose sums are the number of jobs removed of each state. At most 31 partitions are dropped, the oldest first. One that
--          is in use for longer than 20 ms is left for the next call, and all are unless the transaction is READ COMMITTED (an older
--          snapshot could miscount them). Jobs with large payloads are deleted beforehand, at most 100,000 of a partition; one
--          that has more is left for the next call.
-- Errors   none.
-- Locks    each partition, EXCLUSIVE, from when its jobs are counted, which holds up only retry_job; at last each partition, its `rest`
--          and the table of its state, ACCESS EXCLUSIVE, to the end of the transaction. This waits at most 20 ms for each of the
--          six tables that others use, and gives up at the first that takes longer, so nobody waits for it much longer than 100 ms.
#variable_conflict use_column
declare
  v_leaves text[]   := '{}';
  v_states text[]   := '{}';
  v_counts bigint[] := '{}';
  v_count  bigint;
  v_large  bigint;
  v_ids    bigint[];
  l        record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return;
  end if;

  for l in
    select f.leaf, f.state
    from pgmill.finished_leaves() f
    join unnest(drop_days.states, drop_days.befores) b(state, before) on b.state = f.state
    where f.ends <= b.before
    order by f.starts, f.state
    limit 31
  loop
    begin
      execute format('lock table only pgmill.%I in exclusive mode', l.leaf);
      execute format('select count(*), count(*) filter (where f.payload is null) from pgmill.%I f', l.leaf) into v_count, v_large;
      if v_large > 0 then
        execute format('select array(select f.id from pgmill.%I f where f.payload is null limit 100000)', l.leaf) into v_ids;
        execute format('delete from pgmill.%I f where f.id = any ($1)', l.leaf) using v_ids;
        delete from pgmill.payload p where p.id = any (v_ids);
        state := l.state;
        removed := cardinality(v_ids);
        return next;
        continue when v_large > removed;
      end if;
      v_leaves := v_leaves || l.leaf;
      v_states := v_states || l.state;
      v_counts := v_counts || v_count - v_large;
    exception
      when lock_not_available or undefined_table then null;  -- in use, or another cleanup was faster
    end;
  end loop;

  -- All counting is done: from here on it has to be quick.
  for i in 1..cardinality(v_leaves) loop
    begin
      execute format('drop table pgmill.%I', v_leaves[i]);
    exception
      when lock_not_available then return;
    end;
    state := v_states[i];
    removed := v_counts[i];
    return next;
  end loop;
end;
$$;

comment on function pgmill.drop_days is 'Drops the partitions of finished whose whole day is old.';

do $$ begin perform pgmill.grant_execute('pgmill.drop_days', null); end $$;

-- file: sql/internal/fail_leases.sql

create or replace function pgmill.fail_leases(
  ids       bigint[],
  tokens    uuid[],
  messages  text[],
  reasons   text[],
  retry_ins interval[],
  finals    boolean[]
)
returns table (id bigint, state text, run_at timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Records a failed attempt of each job: the one place where jobs fail, whether a worker says so or a lease ran out.
--
--   ids, tokens  the leases
--   messages     what went wrong
--   reasons      error, timeout, lease_expired
--   retry_ins    how long to wait before the next attempt; null in it: the job's own backoff
--   finals       true in it: no further attempt
--
-- Returns  a row for each lease, in their order: scheduled, with the time of the next attempt; failed; cancelled (someone asked for
--          that while it ran); lease_lost.
-- Errors   none.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  return query
  with input as materialized (
    select i.*
    from unnest(fail_leases.ids, fail_leases.tokens, fail_leases.messages, fail_leases.reasons, fail_leases.retry_ins, fail_leases.finals)
      with ordinality i(id, token, message, reason, retry_in, final, ord)
    order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token
    returning r.*, i.ord, i.message, i.reason, i.retry_in, i.final
  ), verdict as materialized (
    select
      g.*,
      case when g.cancel_requested then 'cancelled' when g.final or g.attempts >= g.max_attempts then 'failed' else 'scheduled' end as state,
      v_now + coalesce(g.retry_in, pgmill.backoff(g.attempts, coalesce(g.retry_base, '1 minute'), coalesce(g.retry_max, '1 day'))) as next_run_at,
      pgmill.add_error(g.errors, g.attempts, v_now, g.reason, g.message, g.worker) as all_errors
    from gone g
  ), again as (
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.all_errors, v.created_at, v.cron, v.cron_tick
    from verdict v
    where v.state = 'scheduled'
  ), ended as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.all_errors, v.created_at, v.cron, v.cron_tick,
      v.state, v_now, v.worker, v.token, v.claimed_at
    from verdict v
    where v.state <> 'scheduled'
  ), freed as (
    delete from pgmill.job_key k using verdict v
    where v.state <> 'scheduled' and v.unique_key is not null and k.queue = any (array[v.queue]) and k.unique_key = v.unique_key
  )
  -- Grouped, not joined: with the settings above a join would compare each input with each verdict.
  select o.id, coalesce(max(o.state), 'lease_lost'), max(o.run_at)
  from (
    select i.id, i.ord, null as state, null as run_at from input i
    union all
    select v.id, v.ord, v.state, case when v.state = 'scheduled' then v.next_run_at end from verdict v
  ) o
  group by o.ord, o.id
  order by o.ord;

  perform pgmill.wake(q.queue)
  from (select distinct w.queue from pgmill.waiting w where w.id = any (fail_leases.ids)) q;
end;
$$;

comment on function pgmill.fail_leases is 'Records a failed attempt of each job.';

do $$ begin perform pgmill.grant_execute('pgmill.fail_leases', null); end $$;

-- file: sql/internal/finished_leaves.sql

create or replace function pgmill.finished_leaves()
returns table (leaf text, state text, starts timestamptz, ends timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
as $$
-- The tables that jobs end in.
--
-- Returns  a row for each, the oldest first: the day (UTC) it is for, from starts to just before ends; null: no day of its own.
-- Errors   none.
begin
  return query
  select c.relname::text, s.state, d.day::timestamptz, (d.day + 1)::timestamptz
  from unnest(array['completed', 'failed', 'cancelled']) s(state)
  join pg_inherits i on i.inhparent = format('pgmill.finished_%s', s.state)::regclass
  join pg_class c on c.oid = i.inhrelid
  cross join lateral (
    -- add_partitions gave it this name
    select case when c.relname ~ ('^finished_' || s.state || '_[0-9]{8}$') then to_date(right(c.relname, 8), 'YYYYMMDD') end as day
  ) d
  order by d.day, s.state;
end;
$$;

comment on function pgmill.finished_leaves is 'The tables that jobs end in.';

do $$ begin perform pgmill.grant_execute('pgmill.finished_leaves', null); end $$;

-- file: sql/internal/fire_cron.sql

create or replace function pgmill.fire_cron(
  name text,
  now  timestamptz
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds the jobs of one schedule that are due, and moves it to its next tick.
--
--   name  the schedule
--   now   the time of the call
--
-- missed is for ticks that nobody fired in time. once: one job, for the latest. skip: none for a tick more than a minute
-- ago. all: one for each; after 1000 in one call, one for the rest. A schedule without overlap passes over a tick
-- while an earlier job of it has not ended; with all, it waits for that job instead.
--
-- Returns  the number of jobs added.
-- Errors   those of add_job and cron_next, when somebody wrote a bad row by hand.
-- Moves    nothing -> ready.
-- Locks    the schedule's row.
declare
  r         pgmill.cron;
  v_tick    timestamptz;
  v_next    timestamptz;
  v_last    timestamptz;
  v_skipped text;
  v_id      bigint;
  v_ticks   int    := 0;
  v_added   bigint := 0;
begin
  -- Whoever holds the lock sees the last tick; the others find next_tick moved on.
  select c.* into r from pgmill.cron c where c.name = fire_cron.name and c.next_tick <= fire_cron.now and not c.paused for no key update;
  if not found then
    return 0;
  end if;
  perform pgmill.check_job(
    r.job_name, r.payload, r.queue, r.priority, null, r.max_attempts, r.timeout, r.retry_base, r.retry_max, null, 'skip');
  perform pgmill.check_cron(r.name, r.owner, r.expression, r.every, r.timezone, r.missed, r.overlap);

  v_tick := r.next_tick;
  if r.expression is not null and r.missed <> 'all' then
    v_tick := pgmill.cron_latest(r.expression, r.timezone, v_tick, fire_cron.now);
  end if;
  while v_tick <= fire_cron.now loop
    v_skipped := case
      when not r.overlap and pgmill.cron_live(r.name) <> '{}' then 'overlap'
      when r.missed = 'skip' and v_tick < fire_cron.now - interval '1 minute' then 'missed'
    end;
    exit when v_skipped = 'overlap' and r.missed = 'all';

    v_ticks := v_ticks + 1;
    v_next := pgmill.cron_after(r.expression, r.every, r.timezone, v_tick);
    if v_next <= fire_cron.now and (r.missed <> 'all' or v_ticks >= 1000) then
      v_next := case
        when r.every is not null then pgmill.cron_after(null, r.every, r.timezone, fire_cron.now)
        else pgmill.cron_latest(r.expression, r.timezone, v_next, fire_cron.now)
      end;
    end if;

    v_id := case when v_skipped is null then nextval('pgmill.job_id') end;
    insert into pgmill.cron_tick (cron, tick, job_id, skipped) values (r.name, v_tick, v_id, v_skipped) on conflict do nothing;
    if found and v_id is not null then
      perform pgmill.insert_job(
        v_id, r.queue, r.job_name, r.payload, r.priority, fire_cron.now, 0, r.max_attempts,
        r.timeout, r.retry_base, r.retry_max, null, null, fire_cron.now, r.name, v_tick);
      v_added := v_added + 1;
    end if;
    v_last := v_tick;
    v_tick := v_next;
  end loop;

  if v_last is not null then
    update pgmill.cron c set next_tick = v_tick, last_tick = v_last, error = null, try_at = null
    where c.name = r.name and c.next_tick = r.next_tick;
    perform pgmill.forget_ticks(r.name);
  end if;
  return v_added;
end;
$$;

comment on function pgmill.fire_cron is 'Adds the jobs of one schedule that are due.';

do $$ begin perform pgmill.grant_execute('pgmill.fire_cron', null); end $$;

-- file: sql/internal/fire_due_crons.sql

create or replace function pgmill.fire_due_crons()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds the jobs of all schedules that are due: a part of tick(), safe from any number of sessions at once.
--
-- A schedule that cannot be fired, because somebody wrote nonsense into its row by hand, does not stop the others: its
-- error is kept in the row (see find_crons), and it is tried again ten seconds later.
--
-- Returns  the number of jobs added.
-- Errors   none.
-- Moves    nothing -> ready.
-- Locks    the rows of the due schedules; passes over those that others hold, and never waits.
declare
  v_now   constant timestamptz := clock_timestamp();
  v_name  text;
  v_added bigint := 0;
begin
  for v_name in
    select c.name
    from pgmill.cron c
    where c.next_tick <= v_now and not c.paused and (c.try_at is null or c.try_at <= v_now)
    order by c.next_tick, c.name
    for no key update skip locked
  loop
    begin
      v_added := v_added + pgmill.fire_cron(v_name, v_now);
    exception
      when others then
        update pgmill.cron c
        set error = left(format('%s (%s)', sqlerrm, sqlstate), 500), try_at = v_now + interval '10 seconds'
        where c.name = v_name;
    end;
  end loop;
  return v_added;
end;
$$;

comment on function pgmill.fire_due_crons is 'Adds the jobs of all schedules that are due.';

do $$ begin perform pgmill.grant_execute('pgmill.fire_due_crons', null); end $$;

-- file: sql/internal/forget_ticks.sql

create or replace function pgmill.forget_ticks(
  name text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Removes the old ticks of a schedule: all but the last 100, those whose job has not ended, and the last completed one.
--
--   name  the schedule
--
-- Returns  nothing.
-- Errors   none.
-- Locks    the removed ticks' rows.
declare
  v_live constant bigint[] := pgmill.cron_live(forget_ticks.name);
begin
  delete from pgmill.cron_tick t
  where t.cron = forget_ticks.name
    and t.tick < (select k.tick from pgmill.cron_tick k where k.cron = forget_ticks.name order by k.tick desc limit 1 offset 99)
    and (t.completed_at is null
      or t.completed_at < (select max(k.completed_at) from pgmill.cron_tick k where k.cron = forget_ticks.name))
    and (t.job_id is null or t.job_id <> all (v_live));
end;
$$;

comment on function pgmill.forget_ticks is 'Removes the old ticks of a schedule.';

do $$ begin perform pgmill.grant_execute('pgmill.forget_ticks', null); end $$;

-- file: sql/internal/give_back.sql

create or replace function pgmill.give_back(
  ids    bigint[],
  tokens uuid[],
  run_at timestamptz
)
returns table (id bigint, state text, run_at_now timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Gives jobs back without charging the attempt.
--
--   ids, tokens  the leases
--   run_at       not before then; past: now; null: the job's own run_at, which keeps its place in the order
--
-- Returns  a row for each lease, in their order: scheduled or ready, with its run_at; cancelled (someone asked for that while it
--          ran); lease_lost.
-- Errors   none.
-- Moves    running -> waiting or ready, by run_at; running -> finished (cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v_now  timestamptz := clock_timestamp();
  v_slot int         := pgmill.current_slot();
begin
  return query
  with input as materialized (
    select i.id, i.token, i.ord from unnest(give_back.ids, give_back.tokens) with ordinality i(id, token, ord) order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token returning r.*, i.ord
  ), verdict as materialized (
    select
      g.*,
      case when give_back.run_at is null then g.run_at else greatest(give_back.run_at, v_now) end as next_run_at,
      case when g.cancel_requested then 'cancelled' when give_back.run_at > v_now then 'scheduled' else 'ready' end as state
    from gone g
  ), later as (
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts - 1, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick
    from verdict v
    where v.state = 'scheduled'
  ), at_once as (
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.next_run_at, v.attempts - 1, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick, v_slot
    from verdict v
    where v.state = 'ready'
  ), ended as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at)
    select
      v.id, v.queue, v.name, v.payload, v.priority, v.run_at, v.attempts, v.max_attempts,
      v.timeout, v.retry_base, v.retry_max, v.unique_key, v.errors, v.created_at, v.cron, v.cron_tick,
      v.state, v_now, v.worker, v.token, v.claimed_at
    from verdict v
    where v.state = 'cancelled'
  ), freed as (
    delete from pgmill.job_key k using verdict v
    where v.state = 'cancelled' and v.unique_key is not null and k.queue = any (array[v.queue]) and k.unique_key = v.unique_key
  ), woken as materialized (
    select pgmill.wake(q.queue) from (select distinct v.queue from verdict v where v.state <> 'cancelled') q
  )
  -- Grouped, not joined: see fail_leases.
  select o.id, coalesce(max(o.state), 'lease_lost'), max(o.run_at)
  from (
    select i.id, i.ord, null as state, null as run_at from input i
    union all
    select v.id, v.ord, v.state, case when v.state <> 'cancelled' then v.next_run_at end from verdict v
  ) o
  where (select count(*) from woken) >= 0
  group by o.ord, o.id
  order by o.ord;
end;
$$;

comment on function pgmill.give_back is 'Gives jobs back without charging the attempt.';

do $$ begin perform pgmill.grant_execute('pgmill.give_back', null); end $$;

-- file: sql/internal/hold_key.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.hold_key', null); end $$;

-- file: sql/internal/insert_job.sql

create or replace function pgmill.insert_job(
  id           bigint,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  run_at       timestamptz,
  attempts     int,
  max_attempts int,
  timeout      interval,
  retry_base   interval,
  retry_max    interval,
  unique_key   text,
  errors       jsonb,
  created_at   timestamptz,
  cron         text default null,
  cron_tick    timestamptz default null
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Writes one job into the room its run_at belongs to, and wakes a worker.
--
--   the columns of a job, checked by the caller
--   payload  null: it lies in pgmill.payload already; else nothing of this id does
--
-- Returns  nothing.
-- Errors   none.
-- Moves    nothing -> waiting, when run_at lies ahead; else nothing -> ready. A large payload -> pgmill.payload.
declare
  v_slot int := pgmill.current_slot();
begin
  if pgmill.is_large(insert_job.payload) then
    insert into pgmill.payload (id, payload) values (insert_job.id, insert_job.payload);
    insert_job.payload := null;
  end if;
  insert_job.retry_base := nullif(insert_job.retry_base, '1 minute');
  insert_job.retry_max := nullif(insert_job.retry_max, '1 day');
  if insert_job.run_at > clock_timestamp() then
    insert into pgmill.waiting (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick)
    values (
      insert_job.id, insert_job.queue, insert_job.name, insert_job.payload, insert_job.priority, insert_job.run_at,
      insert_job.attempts, insert_job.max_attempts, insert_job.timeout, insert_job.retry_base, insert_job.retry_max,
      insert_job.unique_key, insert_job.errors, insert_job.created_at, insert_job.cron, insert_job.cron_tick);
  else
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, slot)
    values (
      insert_job.id, insert_job.queue, insert_job.name, insert_job.payload, insert_job.priority, insert_job.run_at,
      insert_job.attempts, insert_job.max_attempts, insert_job.timeout, insert_job.retry_base, insert_job.retry_max,
      insert_job.unique_key, insert_job.errors, insert_job.created_at, insert_job.cron, insert_job.cron_tick, v_slot);
  end if;
  perform pgmill.wake(insert_job.queue);
end;
$$;

comment on function pgmill.insert_job is 'Writes one job into the room its run_at belongs to.';

do $$ begin perform pgmill.grant_execute('pgmill.insert_job', null); end $$;

-- file: sql/internal/is_awake.sql

create or replace function pgmill.is_awake(
  queue text
)
returns boolean
language sql
volatile
as $$
  -- Whether no worker sleeps that wants jobs of the queue; then none falls asleep before this transaction has ended. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  --   queue  that a job was put into
  --
  -- Returns  false: wake must be called.
  -- Errors   none.
  -- Locks    as wake.
  select pg_try_advisory_xact_lock_shared(hashtext('pgmill'), hashtext(is_awake.queue) & 63)
$$;

comment on function pgmill.is_awake is 'Whether no worker sleeps that wants jobs of the queue.';

do $$ begin perform pgmill.grant_execute('pgmill.is_awake', null); end $$;

-- file: sql/internal/is_large.sql

create or replace function pgmill.is_large(
  payload jsonb
)
returns boolean
language sql
stable
as $$
  -- Whether a payload lies in pgmill.payload. In SQL, and without settings of its own, so that it becomes a part of the caller's
  -- expression; nobody but pgmill's functions is granted it.
  --
  --   payload  of a new job
  --
  -- Returns  null for null.
  -- Errors   none.
  --
  -- A row of more than 2032 bytes is compressed or cut up (toasted), and again in each room it enters. The bound leaves 400 bytes for
  -- all else in it, which is half of that in most jobs. What counts are the bytes at hand: a payload that comes compressed from a
  -- table stays so.
  select pg_column_size(is_large.payload) > 1600
$$;

comment on function pgmill.is_large is 'Whether a payload lies in pgmill.payload.';

do $$ begin perform pgmill.grant_execute('pgmill.is_large', null); end $$;

-- file: sql/internal/known_cron.sql

create or replace function pgmill.known_cron(
  name text
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Refuses the name of a schedule that is not there.
--
--   name  the schedule
--
-- Returns  its next tick.
-- Errors   PM203 unknown_cron.
declare
  v_tick timestamptz;
begin
  select c.next_tick into v_tick from pgmill.cron c where c.name = known_cron.name;
  if not found then
    raise exception using errcode = 'PM203', message = format('There is no schedule named %s.', quote_ident(left(known_cron.name, 60))),
      hint = 'Add it with cron_upsert; find_crons lists them.';
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.known_cron is 'Refuses the name of a schedule that is not there.';

do $$ begin perform pgmill.grant_execute('pgmill.known_cron', null); end $$;

-- file: sql/internal/put_cron.sql

create or replace function pgmill.put_cron(
  owner  text,
  object jsonb
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Calls cron_upsert for one object of cron_sync's list.
--
--   owner   the list's
--   object  cron_upsert's parameters; left out or null: its defaults
--
-- Returns  nothing.
-- Errors   PM001, PM201, PM202.
-- Locks    the schedule's row.
declare
  r record;
begin
  perform pgmill.check_keys(
    put_cron.object,
    '{name,expression,every,job_name,payload,timezone,queue,priority,max_attempts,timeout,missed,overlap,retry_base,retry_max}');
  begin
    select * into r from jsonb_to_record(put_cron.object) as o(
      name text, expression text, every interval, job_name text, payload jsonb, timezone text, queue text, priority int,
      max_attempts int, timeout interval, missed text, overlap boolean, retry_base interval, retry_max interval);
  exception
    when data_exception then
      perform pgmill.reject('a value is of the wrong type.', 'Give numbers as numbers, true or false, and durations as text such as 90 seconds.');
  end;
  perform pgmill.cron_upsert(
    r.name, r.expression, r.every, r.job_name, coalesce(r.payload, '{}'), coalesce(r.timezone, 'UTC'), coalesce(r.queue, 'default'),
    coalesce(r.priority, 4), coalesce(r.max_attempts, 3), r.timeout, put_cron.owner, coalesce(r.missed, 'once'), coalesce(r.overlap, false),
    coalesce(r.retry_base, '1 minute'), coalesce(r.retry_max, '1 day'));
end;
$$;

comment on function pgmill.put_cron is 'Calls cron_upsert for one object of cron_sync''s list.';

do $$ begin perform pgmill.grant_execute('pgmill.put_cron', null); end $$;

-- file: sql/internal/read_jobs.sql

create or replace function pgmill.read_jobs(
  jobs jsonb
)
returns table (
  ord bigint, name text, payload jsonb, queue text, priority int, run_at timestamptz, max_attempts int, timeout interval,
  retry_base interval, retry_max interval, unique_key text, on_duplicate text
)
language sql
stable
as $$
  -- Reads add_jobs' array, with add_job's defaults; those of retry_base and retry_max are null, as in the rooms. In SQL, and
  -- without settings of its own, so that it becomes a part of the caller's query; nobody but pgmill's functions is granted it.
  --
  --   jobs  an array of objects
  --
  -- Returns  a row for each object; ord counts from 1.
  -- Errors   those of PostgreSQL, for a value of the wrong type: check_jobs turns them into ours.
  select
    j.ord, j.name, coalesce(j.payload, '{}'), coalesce(j.queue, 'default'), coalesce(j.priority, 5), j.run_at, coalesce(j.max_attempts, 3),
    j.timeout, j.retry_base, j.retry_max, j.unique_key, coalesce(j.on_duplicate, 'skip')
  from rows from (
    jsonb_to_recordset(read_jobs.jobs) as (
      name text, payload jsonb, queue text, priority int, run_at timestamptz, max_attempts int, timeout interval,
      retry_base interval, retry_max interval, unique_key text, on_duplicate text)
  ) with ordinality as j(
    name, payload, queue, priority, run_at, max_attempts, timeout, retry_base, retry_max, unique_key, on_duplicate, ord)
$$;

comment on function pgmill.read_jobs is 'Reads the array of add_jobs, with defaults.';

do $$ begin perform pgmill.grant_execute('pgmill.read_jobs', null); end $$;

-- file: sql/internal/read_mark.sql

create or replace function pgmill.read_mark(
  mark text
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Tells where a look at the low end of an index by time may begin: at a mark that this session has set (set_mark).
--
--   mark  its name
--
-- Returns  nothing that is alive lies before; -infinity: look at everything.
-- Errors   none.
declare
  v_note text := current_setting('pgmill.mark_' || read_mark.mark, true);
begin
  if v_note is null or v_note = '' or to_timestamp(split_part(v_note, ' ', 2)::float8) < clock_timestamp() then
    return '-infinity';
  end if;
  return to_timestamp(split_part(v_note, ' ', 1)::float8);
end;
$$;

comment on function pgmill.read_mark is 'Where a look at the low end of an index may begin.';

do $$ begin perform pgmill.grant_execute('pgmill.read_mark', null); end $$;

-- file: sql/internal/reject.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.reject', null); end $$;

-- file: sql/internal/retry_ids.sql

create or replace function pgmill.retry_ids(
  ids bigint[]
)
returns table (id bigint, live_id bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Gives failed and cancelled jobs fresh attempts, from now on.
--
--   ids  without nulls, each once
--
-- Returns  a row for each of them that is failed or cancelled. live_id: its own id when it is live again; else the live job that
--          holds its unique_key, and it stays as it is.
-- Errors   none.
-- Moves    finished -> ready.
-- Locks    the jobs' rows, by id; then their keys, in the order of (queue, unique_key), as add_jobs does. Waits for another
--          call that retries one of the jobs, or takes or frees one of the keys.
#variable_conflict use_column
declare
  v_now   timestamptz := clock_timestamp();
  v_ids   bigint[];
  v_taken bigint[]    := '{}';
  j       record;
begin
  select array_agg(l.id) into v_ids
  from (
    select f.id from pgmill.finished f where f.state in ('failed', 'cancelled') and f.id = any (retry_ids.ids) order by f.id for update
  ) l;

  for j in
    select f.id, f.queue, f.unique_key
    from pgmill.finished f
    where f.state in ('failed', 'cancelled') and f.id = any (v_ids)
    order by f.queue, f.unique_key, f.id
  loop
    id := j.id;
    live_id := case when j.unique_key is null then j.id else (pgmill.hold_key(j.queue, j.unique_key, j.id, 'skip')).live_id end;
    if live_id = j.id then
      v_taken := v_taken || j.id;
    end if;
    return next;
  end loop;

  for j in delete from pgmill.finished f where f.state in ('failed', 'cancelled') and f.id = any (v_taken) returning f.* loop
    perform pgmill.insert_job(
      j.id, j.queue, j.name, j.payload, j.priority, v_now, 0, j.max_attempts, j.timeout, j.retry_base, j.retry_max,
      j.unique_key, j.errors, j.created_at, j.cron, j.cron_tick);
  end loop;
end;
$$;

comment on function pgmill.retry_ids is 'Gives failed and cancelled jobs fresh attempts.';

do $$ begin perform pgmill.grant_execute('pgmill.retry_ids', null); end $$;

-- file: sql/internal/set_mark.sql

create or replace function pgmill.set_mark(
  mark   text,
  index  text,
  began  timestamptz,
  lowest timestamptz
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- After a look at the low end of an index by time: sets a low-water mark for the next looks, when this one took long.
--
--   mark    its name, which is a look at the same rows every time
--   index   the index
--   began   when the look began
--   lowest  it found nothing alive before then
--
-- Returns  nothing.
-- Errors   none.
--
-- While a snapshot is held open elsewhere, the entries of rows that are gone stay in the index, and a look at its low end walks
-- over all of them. A mark is set only where that takes 2 ms, which callers know, in an index that is large enough to be the
-- reason; it lies 2 seconds lower than it might, for those who commit late. What comes in below all the same (a transaction that
-- stayed open for longer; a time moved by hand) is found by the next look at everything. Those come a hundred times as long after
-- each other as each takes, so that they cost one per cent of the time.
--
-- The mark is a setting of the session: it leaves no dead row behind, and needs no lock.
declare
  v_now   timestamptz := clock_timestamp();
  v_until timestamptz;
begin
  if pg_relation_size(format('pgmill.%I', set_mark.index)::regclass) < 256 * 1024 then
    return;
  end if;
  v_until := case
    when pgmill.read_mark(set_mark.mark) = '-infinity' then v_now + 100 * (v_now - set_mark.began)
    else to_timestamp(split_part(current_setting('pgmill.mark_' || set_mark.mark), ' ', 2)::float8)
  end;
  perform pgmill.write_mark(set_mark.mark, set_mark.lowest - interval '2 seconds', v_until);
end;
$$;

comment on function pgmill.set_mark is 'After a long look at the low end of an index: where the next ones may begin.';

do $$ begin perform pgmill.grant_execute('pgmill.set_mark', null); end $$;

-- file: sql/internal/turn_ring.sql

create or replace function pgmill.turn_ring()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '60ms'
as $$
-- Turns the ring of `ready`: truncates a slot that has been emptied and points inserts at it. So the dead rows that claims
-- leave behind go away at once and whole, even while a snapshot held open elsewhere forbids vacuum to touch them. Where
-- emptied slots are in use (pg_dump holds every table that it found, for as long as it runs) the ring grows by a slot instead.
--
-- Returns  whether it turned, or grew. Not while the current slot is small, nor while every other slot holds jobs, or is in use for
--          longer than 60 ms, which a claim of thousands of jobs is: the next tick tries again.
-- Errors   none.
-- Locks    the slot's table, ACCESS EXCLUSIVE, to the end of the transaction. A new slot: `ready`, SHARE UPDATE EXCLUSIVE, which
--          nobody who adds, claims or reads waits for.
--
-- Nothing is lost: whoever inserted and has not committed holds a lock on the slot's table, so under the exclusive lock all
-- that was ever put into the slot is visible. That takes a snapshot newer than the lock, hence only READ COMMITTED. An insert
-- that read the register before the turn goes into a slot that is no longer current, where it is claimed like any other.
--
-- A new slot is not pointed at before the transaction that made it has committed, so that is left to the next call; and whoever
-- inserts reads the register before its statement begins, so that the statement knows every slot the register can name.
declare
  v_current int     := pgmill.current_slot();
  v_size    bigint  := pg_relation_size(format('pgmill.ready_%s', v_current)::regclass);
  v_slots   int[];
  v_slot    int;
  v_readers text[];
  v_in_use  boolean := false;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  -- 2 MB are some 10,000 small jobs: a claim that must walk over their dead entries does so in about a millisecond.
  if v_size < 2 * 1024 * 1024 then
    return false;
  end if;

  select array_agg(s.slot order by s.slot <= v_current, s.slot) into v_slots
  from (
    select substr(c.relname, 7)::int as slot
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'pgmill.ready'::regclass
  ) s
  where s.slot <> v_current;
  foreach v_slot in array v_slots loop
    continue when exists (select from pgmill.ready r where r.slot = v_slot);
    if pgmill.read_mark('ready_' || v_slot) > '-infinity' then
      v_in_use := true;
      continue;
    end if;
    begin
      execute format('lock table only pgmill.%I in access exclusive mode', 'ready_' || v_slot);
      if exists (select from pgmill.ready r where r.slot = v_slot) then
        raise lock_not_available;  -- rolls the block back, and with it the lock
      end if;
      execute format('truncate pgmill.%I', 'ready_' || v_slot);
      perform setval('pgmill.ready_slot', v_slot);
      return true;
    exception
      when lock_not_available then
        -- Claims and adds come to an end; whoever only reads, and did so a tick ago, may take hours. Meanwhile all who need the slot
        -- wait behind the request for the lock, so this session then lets half a minute pass before another.
        v_readers := array(
          select l.virtualtransaction
          from pg_locks l
          where l.relation = format('pgmill.%I', 'ready_' || v_slot)::regclass and l.granted
          group by l.virtualtransaction
          having bool_and(l.mode = 'AccessShareLock'));
        if string_to_array(current_setting('pgmill.readers_of_' || v_slot, true), ',') && v_readers then
          v_in_use := true;
          perform pgmill.write_mark('ready_' || v_slot, 'epoch', clock_timestamp() + interval '30 seconds');
        end if;
        perform set_config('pgmill.readers_of_' || v_slot, array_to_string(v_readers, ','), false);
    end;
  end loop;

  -- Not at once, and not without end: each claim looks into every slot.
  if v_in_use and v_size >= 4 * 1024 * 1024 and cardinality(v_slots) < 11 then
    v_slot := cardinality(v_slots) + 1;
    begin
      execute format('create table pgmill.%I (like pgmill.ready, primary key (id))', 'ready_' || v_slot);
      execute format('alter table pgmill.ready attach partition pgmill.%I for values in (%s)', 'ready_' || v_slot, v_slot);
      return true;
    exception
      when lock_not_available then null;
    end;
  end if;
  return false;
end;
$$;

comment on function pgmill.turn_ring is 'Truncates an emptied slot of the ring and points inserts at it.';

do $$ begin perform pgmill.grant_execute('pgmill.turn_ring', null); end $$;

-- file: sql/internal/waiting_mark.sql

create or replace function pgmill.waiting_mark(
  queues text[]
)
returns text
language sql
stable
as $$
  -- The name of the low-water mark of `waiting` for these queues (set_mark). In SQL, and without settings of its own, so that it
  -- becomes a part of the caller's expression; nobody but pgmill's functions is granted it.
  --
  --   queues  that are looked at together
  --
  -- Returns  a name.
  -- Errors   none.
  select 'waiting_' || (hashtext(array_to_string(waiting_mark.queues, ',')) & 2147483647)
$$;

comment on function pgmill.waiting_mark is 'The name of the low-water mark of waiting for these queues.';

do $$ begin perform pgmill.grant_execute('pgmill.waiting_mark', null); end $$;

-- file: sql/internal/wake.sql

create or replace function pgmill.wake(
  queue text
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Tells sleeping workers that there is work, and costs next to nothing while none sleeps.
--
--   queue  the queue that a job was put into
--
-- Returns  nothing.
-- Errors   none.
-- Locks    the wake lock of the queue, shared, to the end of the transaction; never waits. There are 64 of them, so that
--          a transaction that adds to thousands of queues does not fill the server's lock table.
--
-- A worker about to sleep takes the wake lock exclusively (enter_sleep). While one waits for it or holds it, the try
-- below fails and this transaction notifies. The worker is granted the lock only when every transaction that did
-- not notify has committed, and then looks once more: so no job is overlooked, and a busy system never notifies.
begin
  if not pgmill.is_awake(wake.queue) then
    -- One empty payload: PostgreSQL folds equal notifications of a transaction into one.
    perform pg_notify('pgmill', '');
  end if;
end;
$$;

comment on function pgmill.wake is 'Tells sleeping workers that there is work.';

do $$ begin perform pgmill.grant_execute('pgmill.wake', null); end $$;

-- file: sql/internal/write_mark.sql

create or replace function pgmill.write_mark(
  mark   text,
  lowest timestamptz,
  until  timestamptz
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Notes a mark that read_mark reads, in a setting of the session.
--
--   mark    its name
--   lowest  what it says
--   until   it holds until then
--
-- Returns  nothing.
-- Errors   none.
begin
  perform set_config('pgmill.mark_' || write_mark.mark, extract(epoch from write_mark.lowest) || ' ' || extract(epoch from write_mark.until), false);
end;
$$;

comment on function pgmill.write_mark is 'Notes a mark that read_mark reads.';

do $$ begin perform pgmill.grant_execute('pgmill.write_mark', null); end $$;

-- file: sql/producer/add_job.sql

create or replace function pgmill.add_job(
  name         text,
  payload      jsonb       default '{}',
  queue        text        default 'default',
  priority     int         default 5,
  run_at       timestamptz default null,
  max_attempts int         default 3,
  timeout      interval    default null,
  retry_base   interval    default '1 minute',
  retry_max    interval    default '1 day',
  unique_key   text        default null,
  on_duplicate text        default 'skip'
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds a job. It becomes visible to workers when the caller's transaction commits.
--
--   name          what kind of job; workers choose by it
--   payload       what the handler gets; at most 1 MiB
--   queue         workers choose by it too
--   priority      a lower number runs first
--   run_at        not before then; null or past: now, by the database's clock
--   max_attempts  attempts in all, 1 to 1000; 1 means no retry
--   timeout       how long a handler may take; null: the handler's or the worker's limit
--   retry_base    the first retry comes after twice this, each further one after double the last
--   retry_max     but never later than this
--   unique_key    at most one live job (scheduled, ready or running) of the queue has it; null: no such limit
--   on_duplicate  when a live job has it: skip (leave that job alone), replace (rewrite it, with fresh attempts, unless it is
--                 running), error (raise)
--
-- Returns  the job's id; with a unique_key that is held, the id of the job that holds it.
-- Errors   PM001 invalid_argument, PM004 duplicate_key.
-- Moves    nothing -> waiting, when run_at lies ahead; else nothing -> ready.
-- Locks    the key's row, when there is a unique_key (waits for a transaction that takes the same one).
declare
  v_now  timestamptz := clock_timestamp();
  v_id   bigint      := nextval('pgmill.job_id');
  v_slot int         := pgmill.current_slot();
  v_key  record;
begin
  -- The ordinary case first, with all that can be wrong in one expression: two calls less, a fifth of the time.
  if add_job.name <> '' and length(add_job.name) <= 255
    and add_job.queue <> '' and length(add_job.queue) <= 255
    and not pgmill.is_large(add_job.payload) and pg_column_compression(add_job.payload) is null
    and add_job.priority is not null
    and add_job.run_at is null
    and add_job.max_attempts between 1 and 1000
    and add_job.timeout is null
    and add_job.retry_base = '1 minute' and add_job.retry_max = '1 day'
    and add_job.unique_key is null and add_job.on_duplicate = 'skip'
  then
    insert into pgmill.ready (
      id, queue, name, payload, priority, run_at, attempts, max_attempts, created_at, slot)
    values (
      v_id, add_job.queue, add_job.name, add_job.payload, add_job.priority, v_now, 0, add_job.max_attempts, v_now, v_slot);
    if not pgmill.is_awake(add_job.queue) then
      perform pgmill.wake(add_job.queue);
    end if;
    return v_id;
  end if;

  perform pgmill.check_job(
    add_job.name, add_job.payload, add_job.queue, add_job.priority, add_job.run_at, add_job.max_attempts, add_job.timeout,
    add_job.retry_base, add_job.retry_max, add_job.unique_key, add_job.on_duplicate);
  if add_job.unique_key is not null then
    v_key := pgmill.hold_key(add_job.queue, add_job.unique_key, v_id, add_job.on_duplicate);
    v_id := v_key.live_id;
    if v_key.written then
      return v_id;
    end if;
  end if;
  perform pgmill.insert_job(
    v_id, add_job.queue, add_job.name, add_job.payload, add_job.priority, greatest(add_job.run_at, v_now), 0, add_job.max_attempts,
    add_job.timeout, add_job.retry_base, add_job.retry_max, add_job.unique_key, null, v_now);
  return v_id;
end;
$$;

comment on function pgmill.add_job is 'Adds a job; returns its id.';

do $$ begin perform pgmill.grant_execute('pgmill.add_job', 'pgmill_producer'); end $$;

-- file: sql/producer/add_jobs.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.add_jobs', 'pgmill_producer'); end $$;

-- file: sql/worker/complete_job.sql

create or replace function pgmill.complete_job(
  id     bigint,
  token  uuid,
  result jsonb   default null,
  keep   boolean default true
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Ends a job that is done, in the caller's transaction: what else the transaction wrote is there exactly when the job
-- is completed. Raises when the lease is not current, so that those writes roll back.
--
--   id, token  the lease, as get_jobs returned it
--   result     what to store with the job, at most 1 MiB; null: nothing
--   keep       false: forget the job instead of keeping it as completed
--
-- Returns  nothing.
-- Errors   PM001 invalid_argument, PM002 lease_lost, PM003 already_completed.
-- Moves    running -> finished (completed), or running -> nothing.
-- Locks    the job's row; then the row of its key.
declare
  v_outcome text;
begin
  select c.outcome into v_outcome
  from pgmill.complete_jobs(
    array[complete_job.id], array[complete_job.token],
    case when complete_job.result is not null then jsonb_build_array(complete_job.result) end, complete_job.keep) c;
  if v_outcome = 'lease_lost' then
    raise exception using
      errcode = 'PM002',
      message = format('The lease on job %s is lost.', complete_job.id),
      hint = 'It ran out and the job was reclaimed, or the job has ended. Roll back; extend leases in time (extend_leases).';
  elsif v_outcome = 'already_completed' then
    raise exception using
      errcode = 'PM003',
      message = format('Job %s is completed already, by this lease.', complete_job.id),
      hint = 'Roll back: what the job had to do was committed with its completion.';
  end if;
end;
$$;

comment on function pgmill.complete_job is 'Ends a job that is done, in the caller''s transaction.';

do $$ begin perform pgmill.grant_execute('pgmill.complete_job', 'pgmill_worker'); end $$;

-- file: sql/worker/complete_jobs.sql

create or replace function pgmill.complete_jobs(
  ids     bigint[],
  tokens  uuid[],
  results jsonb   default null,
  keep    boolean default true
)
returns table (id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Ends jobs that are done. A stale lease changes nothing and does not disturb the others.
--
--   ids, tokens  the leases, as get_jobs returned them; at most 10000
--   results      what to store with each job: an array as long as ids, null in it for none; null: none for any
--   keep         false: forget the jobs instead of keeping them as completed; failures are kept all the same
--
-- Returns  a row for each lease, in their order: completed; already_completed (by this very lease, and kept);
--          lease_lost (the lease ran out and was reclaimed, or there is no such job).
-- Errors   PM001 invalid_argument.
-- Moves    running -> finished (completed), or running -> nothing.
-- Locks    the jobs' rows, by id; then the rows of their keys; then, of recurring jobs, those of their ticks.
#variable_conflict use_column
declare
  v_now    timestamptz := clock_timestamp();
  v_done   bigint[];
  v_queues text[];
  v_keys   text[];
  v_crons  text[];
  v_ticks  timestamptz[];
  v_large  bigint[];
begin
  perform pgmill.check_leases(complete_jobs.ids, complete_jobs.tokens);
  if complete_jobs.keep is null then
    perform pgmill.reject('keep must not be null.', 'Give true or false.');
  end if;
  if complete_jobs.results is not null then
    perform pgmill.check_results(complete_jobs.results, cardinality(complete_jobs.ids));
  end if;

  with input as materialized (
    -- In the order of the ids, and so are the locks: two calls with the same jobs wait, but never for each other.
    select i.id, i.token, i.ord from unnest(complete_jobs.ids, complete_jobs.tokens) with ordinality i(id, token, ord) order by i.id
  ), gone as (
    -- between, and any below: see get_jobs
    delete from pgmill.running r using input i where r.id between i.id and i.id and r.token = i.token returning r.*, i.ord
  ), kept as (
    insert into pgmill.finished (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick,
      state, finished_at, worker, token, claimed_at, result)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick,
      'completed', v_now, g.worker, g.token, g.claimed_at, nullif(complete_jobs.results -> (g.ord - 1)::int, 'null')
    from gone g
    where complete_jobs.keep
  )
  select
    array_agg(g.ord),
    array_agg(g.queue) filter (where g.unique_key is not null), array_agg(g.unique_key) filter (where g.unique_key is not null),
    array_agg(g.cron) filter (where g.cron is not null), array_agg(g.cron_tick) filter (where g.cron is not null),
    array_agg(g.id) filter (where g.payload is null and not complete_jobs.keep)
  into v_done, v_queues, v_keys, v_crons, v_ticks, v_large
  from gone g;

  if v_keys is not null then
    delete from pgmill.job_key k using unnest(v_queues, v_keys) f(queue, unique_key)
    where k.queue = any (array[f.queue]) and k.unique_key = f.unique_key;
  end if;
  if v_crons is not null then
    update pgmill.cron_tick t set completed_at = v_now from unnest(v_crons, v_ticks) c(cron, tick)
    where t.cron = any (array[c.cron]) and t.tick = c.tick;
  end if;
  if v_large is not null then
    delete from pgmill.payload p where p.id = any (v_large);
  end if;

  if cardinality(v_done) = cardinality(complete_jobs.ids) then
    return query select i, 'completed' from unnest(complete_jobs.ids) i;
  else
    return query
    select
      i.id,
      case
        when i.ord = any (v_done) then 'completed'
        when exists (
          select from pgmill.finished f where f.id = i.id and f.token = i.token and f.state = 'completed'
        ) then 'already_completed'
        else 'lease_lost'
      end
    from unnest(complete_jobs.ids, complete_jobs.tokens) with ordinality i(id, token, ord)
    order by i.ord;
  end if;
end;
$$;

comment on function pgmill.complete_jobs is 'Ends jobs that are done.';

do $$ begin perform pgmill.grant_execute('pgmill.complete_jobs', 'pgmill_worker'); end $$;

-- file: sql/worker/enter_sleep.sql

create or replace function pgmill.enter_sleep(
  queues text[]
)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set lock_timeout = '5s'
as $$
-- Asks for a notification (channel pgmill) whenever a job is put into one of the queues. From the call on, adders notify;
-- once it returns, every job added without one is visible: look for jobs once more, then sleep. On a connection of its own:
-- not the one that listens, which would hear nothing while this waits, and not one from a transaction pooler.
--
--   queues  not null, at least one
--
-- Returns  nothing. The locks stay with the connection until leave_sleep, or until it closes.
-- Errors   PM001 invalid_argument; 55P03 after 5 seconds behind a transaction that adds jobs, or behind another sleeping worker:
--          look for jobs and call again, or leave_sleep: locks already taken stay. A longer wait would hold back vacuum.
-- Locks    the wake locks of the queues, exclusively, in the order of their hashes.
begin
  perform pgmill.check_filters(enter_sleep.queues, null, null);
  perform pg_advisory_lock(hashtext('pgmill'), h.hash)
  from (select distinct hashtext(q) & 63 as hash from unnest(enter_sleep.queues) q order by 1) h;
end;
$$;

comment on function pgmill.enter_sleep is 'Asks for a notification whenever a job is added.';

do $$ begin perform pgmill.grant_execute('pgmill.enter_sleep', 'pgmill_worker'); end $$;

-- file: sql/worker/extend_leases.sql

create or replace function pgmill.extend_leases(
  ids    bigint[],
  tokens uuid[],
  lease  interval default '30 seconds'
)
returns table (id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- The heartbeat: keeps leases, and tells which jobs should stop.
--
--   ids, tokens  the leases, as get_jobs returned them; at most 10000
--   lease        from now on: 1 millisecond to 30 days
--
-- Returns  a row for each lease, in their order: extended; cancel_requested (extended too: stop soon and call fail_job, which
--          then cancels the job); lease_lost (stop at once, the job is someone else's).
-- Errors   PM001 invalid_argument.
-- Moves    nothing.
-- Locks    the jobs' rows, by id.
#variable_conflict use_column
declare
  v_until timestamptz;
begin
  perform pgmill.check_leases(extend_leases.ids, extend_leases.tokens);
  perform pgmill.check_interval('lease', extend_leases.lease, '1 millisecond', '30 days');
  v_until := clock_timestamp() + extend_leases.lease;

  return query
  with input as materialized (
    select i.id, i.token, i.ord from unnest(extend_leases.ids, extend_leases.tokens) with ordinality i(id, token, ord) order by i.id
  ), extended as (
    -- between: see get_jobs
    update pgmill.running r set lease_until = v_until from input i where r.id between i.id and i.id and r.token = i.token
    returning i.id, i.ord, case when r.cancel_requested then 'cancel_requested' else 'extended' end as outcome
  )
  -- Grouped, not joined: see fail_leases.
  select o.id, coalesce(max(o.outcome), 'lease_lost')
  from (select i.id, i.ord, null as outcome from input i union all select e.id, e.ord, e.outcome from extended e) o
  group by o.ord, o.id
  order by o.ord;
end;
$$;

comment on function pgmill.extend_leases is 'The heartbeat: keeps leases, and tells which jobs should stop.';

do $$ begin perform pgmill.grant_execute('pgmill.extend_leases', 'pgmill_worker'); end $$;

-- file: sql/worker/fail_job.sql

create or replace function pgmill.fail_job(
  id       bigint,
  token    uuid,
  error    text,
  retry_in interval default null,
  final    boolean  default false,
  reason   text     default 'error'
)
returns table (state text, run_at timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Records that an attempt failed. The job comes back later, or has failed for good after its last attempt.
--
--   id, token  the lease, as get_jobs returned it
--   error      what went wrong; kept with the job, cut to 2 kB
--   retry_in   how long to wait before the next attempt, up to 10 years; null: the job's own backoff
--   final      true: no further attempt, whatever max_attempts says
--   reason     error, or timeout
--
-- Returns  one row: scheduled, with the time of the next attempt; failed; cancelled (someone asked for that while it ran);
--          lease_lost (the lease is not current; nothing changed).
-- Errors   PM001 invalid_argument.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the job's row; then the row of its key.
#variable_conflict use_column
begin
  perform pgmill.check_leases(array[fail_job.id], array[fail_job.token]);
  perform pgmill.check_failure(fail_job.error, fail_job.retry_in, fail_job.final, fail_job.reason);
  return query
  select f.state, f.run_at
  from pgmill.fail_leases(
    array[fail_job.id], array[fail_job.token], array[fail_job.error], array[fail_job.reason], array[fail_job.retry_in], array[fail_job.final]) f;
end;
$$;

comment on function pgmill.fail_job is 'Records that an attempt failed.';

do $$ begin perform pgmill.grant_execute('pgmill.fail_job', 'pgmill_worker'); end $$;

-- file: sql/worker/fail_jobs.sql

create or replace function pgmill.fail_jobs(
  failures jsonb
)
returns table (id bigint, state text, run_at timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Records failed attempts of many jobs. A stale lease changes nothing and does not disturb the others.
--
--   failures  an array of at most 10000 objects with fail_job's parameters as keys: id, token and error, and where wanted
--             retry_in (as text: '90 seconds'), final, reason
--
-- Returns  a row for each object, in their order; see fail_job.
-- Errors   PM001 invalid_argument; then nothing has changed.
-- Moves    running -> waiting, running -> finished (failed or cancelled).
-- Locks    the jobs' rows, by id; then the rows of their keys.
#variable_conflict use_column
declare
  v record;
begin
  if jsonb_typeof(fail_jobs.failures) is distinct from 'array' then
    perform pgmill.reject('failures must be an array.', 'Pass a JSON array of objects, one for each job.');
  end if;
  -- The block turns the errors of the casts into ours; it only reads, so it costs no subtransaction id.
  begin
    perform pgmill.check_keys(f, '{id,token,error,retry_in,final,reason}') from jsonb_array_elements(fail_jobs.failures) f;
    select
      coalesce(array_agg(f.id order by f.ord), '{}') as ids,
      coalesce(array_agg(f.token order by f.ord), '{}') as tokens,
      array_agg(f.error order by f.ord) as errors,
      array_agg(coalesce(f.reason, 'error') order by f.ord) as reasons,
      array_agg(f.retry_in order by f.ord) as retry_ins,
      array_agg(coalesce(f.final, false) order by f.ord) as finals
    into v
    from rows from (
      jsonb_to_recordset(fail_jobs.failures) as (id bigint, token uuid, error text, retry_in interval, final boolean, reason text)
    ) with ordinality as f(id, token, error, retry_in, final, reason, ord);
  exception
    when data_exception or invalid_parameter_value then
      perform pgmill.reject('failures holds a value that is not of its parameter''s type.', 'Pass objects with fail_job''s parameters as keys.');
  end;
  perform pgmill.check_leases(v.ids, v.tokens);
  perform pgmill.check_failure(f.error, f.retry_in, f.final, f.reason)
  from unnest(v.errors, v.retry_ins, v.finals, v.reasons) f(error, retry_in, final, reason);

  return query select f.id, f.state, f.run_at from pgmill.fail_leases(v.ids, v.tokens, v.errors, v.reasons, v.retry_ins, v.finals) f;
end;
$$;

comment on function pgmill.fail_jobs is 'Records failed attempts of many jobs.';

do $$ begin perform pgmill.grant_execute('pgmill.fail_jobs', 'pgmill_worker'); end $$;

-- file: sql/worker/get_job.sql

create or replace function pgmill.get_job(
  worker       text,
  queues       text[]   default '{default}',
  names        text[]   default null,
  except_names text[]   default null,
  lease        interval default '30 seconds',
  unordered    boolean  default false
)
returns table (
  id           bigint,
  token        uuid,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  attempt      int,
  max_attempts int,
  run_at       timestamptz,
  created_at   timestamptz,
  timeout      interval,
  lease_until  timestamptz,
  cron         jsonb
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Claims the most urgent job: get_jobs of one.
--
--   see get_jobs
--
-- Returns  one row, or none when there is nothing to do.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> ready, what is due; ready -> running.
-- Locks    the job's row; never waits.
begin
  return query
  select j.*
  from pgmill.get_jobs(
    get_job.worker, 1, get_job.queues, get_job.names, get_job.except_names, get_job.lease, get_job.unordered) j;
end;
$$;

comment on function pgmill.get_job is 'Claims the most urgent job.';

do $$ begin perform pgmill.grant_execute('pgmill.get_job', 'pgmill_worker'); end $$;

-- file: sql/worker/get_jobs.sql

create or replace function pgmill.get_jobs(
  worker       text,
  max_jobs     int,
  queues       text[]   default '{default}',
  names        text[]   default null,
  except_names text[]   default null,
  lease        interval default '30 seconds',
  unordered    boolean  default false
)
returns table (
  id           bigint,
  token        uuid,
  queue        text,
  name         text,
  payload      jsonb,
  priority     int,
  attempt      int,
  max_attempts int,
  run_at       timestamptz,
  created_at   timestamptz,
  timeout      interval,
  lease_until  timestamptz,
  cron         jsonb
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Claims jobs: from commit on, the worker holds a lease on each. Lets due jobs in first, the earliest 1000 (or max_jobs) of each queue.
--
--   worker        who claims; shown in the job while it runs, and in its errors
--   max_jobs      1 to 10000
--   queues        only jobs of these queues
--   names         only jobs with these names; null: any name
--   except_names  no jobs with these names; not together with names
--   lease         how long the jobs are the worker's unless it extends: 1 millisecond to 30 days
--   unordered     take the queues one after the other, as given: with many it is cheaper than the most urgent job of all
--
-- Returns  the jobs, in the order priority, run_at, id; no rows when there is nothing to do. attempt counts from 1 and is
--          charged now. token goes with every later call for the job; it is fresh at each claim.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> ready, what is due; ready -> running.
-- Locks    the jobs' rows; passes over rows that others hold, and never waits.
--
-- The settings above pin the plan: ready_claim from its low end in each slot, merged, no further than max_jobs. A planner that never saw
-- the tables full would choose otherwise. (Others look up `id between x and x`: for `id = x` it might walk through all ids.)
#variable_conflict use_column
declare
  v_now   timestamptz := clock_timestamp();
  v_token text        := left(gen_random_uuid()::text, 24);  -- a token is this, 74 random bits, and the id: a uuid for each is slow
  v_left  int         := get_jobs.max_jobs;
  v_queue text;
  v_count bigint;
begin
  -- The ordinary case, in one expression: one queue; any name, or some.
  if (get_jobs.worker <> '' and length(get_jobs.worker) <= 255
    and get_jobs.max_jobs between 1 and 10000 and cardinality(get_jobs.queues) = 1 and get_jobs.queues[1] <> ''
    and (get_jobs.names is null
      or array_ndims(get_jobs.names) = 1 and cardinality(get_jobs.names) <= 10000 and array_position(get_jobs.names, null) is null)
    and get_jobs.except_names is null and get_jobs.unordered is not null
    and get_jobs.lease between '1 millisecond' and '30 days') is not true
  then
    perform pgmill.check_claim(
      get_jobs.worker, get_jobs.max_jobs, get_jobs.queues, get_jobs.names, get_jobs.except_names, get_jobs.lease, get_jobs.unordered);
  end if;

  -- Nearly always nothing is due, and one probe says so; where probes take long, admit_due sees to that (set_mark).
  if cardinality(get_jobs.queues) > 1 or current_setting('pgmill.mark_' || pgmill.waiting_mark(get_jobs.queues), true) <> ''
    or exists (select from pgmill.waiting w where w.queue = get_jobs.queues[1] and w.run_at <= v_now)
    or clock_timestamp() > v_now + interval '2 ms'
  then
    perform pgmill.admit_due(get_jobs.queues, v_now, greatest(get_jobs.max_jobs, 1000));
  end if;
  if cardinality(get_jobs.queues) > 1 and not get_jobs.unordered then
    return query select c.* from pgmill.claim_across(
      get_jobs.worker, get_jobs.max_jobs, get_jobs.queues, get_jobs.names, get_jobs.except_names, get_jobs.lease) c;
    return;
  end if;
  foreach v_queue in array get_jobs.queues loop
    return query
    with picked as materialized (
      select r.slot, r.ctid
      from pgmill.ready r
      where r.queue = v_queue
        and (get_jobs.names is null or r.name = any (get_jobs.names))
        and (get_jobs.except_names is null or r.name <> all (get_jobs.except_names))
      order by r.priority, r.run_at, r.id
      limit v_left
      for update skip locked
    ), gone as (
      delete from pgmill.ready r using picked p where r.slot = p.slot and r.ctid = p.ctid returning r.*
    )
    insert into pgmill.running as l (
      id, queue, name, payload, priority, run_at, attempts, max_attempts,
      timeout, retry_base, retry_max, unique_key, errors, created_at, cron, cron_tick, worker, token, claimed_at, lease_until)
    select
      g.id, g.queue, g.name, g.payload, g.priority, g.run_at, g.attempts + 1, g.max_attempts,
      g.timeout, g.retry_base, g.retry_max, g.unique_key, g.errors, g.created_at, g.cron, g.cron_tick,
      get_jobs.worker, (v_token || to_hex((1::bigint << 47) + g.id))::uuid, v_now, v_now + get_jobs.lease
    from gone g
    returning
      l.id, l.token, l.queue, l.name, coalesce(l.payload, (select p.payload from pgmill.payload p where p.id = l.id)),
      l.priority, l.attempts, l.max_attempts, l.run_at, l.created_at, l.timeout, l.lease_until,
      case when l.cron is not null then pgmill.cron_context(l.cron, l.cron_tick) end;
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
    exit when v_left = 0;
  end loop;
end;
$$;

comment on function pgmill.get_jobs is 'Claims jobs; returns them in the order priority, run_at, id.';

do $$ begin perform pgmill.grant_execute('pgmill.get_jobs', 'pgmill_worker'); end $$;

-- file: sql/worker/leave_sleep.sql

create or replace function pgmill.leave_sleep()
returns void
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Ends enter_sleep, on the same connection: adders need not notify any more.
--
-- Returns  nothing.
-- Errors   none.
-- Locks    gives up all advisory locks of the connection, which does nothing else.
begin
  perform pg_advisory_unlock_all();
end;
$$;

comment on function pgmill.leave_sleep is 'Ends enter_sleep.';

do $$ begin perform pgmill.grant_execute('pgmill.leave_sleep', 'pgmill_worker'); end $$;

-- file: sql/worker/next_run_at.sql

create or replace function pgmill.next_run_at(
  queues       text[] default '{default}',
  names        text[] default null,
  except_names text[] default null
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Tells a worker with nothing to do how long that lasts.
--
--   as for get_jobs
--
-- Returns  when the earliest scheduled job that get_jobs would then return is due, by the database's clock (past: it is due);
--          null: none is scheduled.
-- Errors   PM001 invalid_argument.
declare
  v_from timestamptz := pgmill.read_mark(pgmill.waiting_mark(next_run_at.queues));
begin
  perform pgmill.check_filters(next_run_at.queues, next_run_at.names, next_run_at.except_names);
  return (
    select min(e.run_at)
    from unnest(next_run_at.queues) q(queue)
    cross join lateral (
      select w.run_at
      from pgmill.waiting w
      where w.queue = q.queue and w.run_at >= v_from
        and (next_run_at.names is null or w.name = any (next_run_at.names))
        and (next_run_at.except_names is null or w.name <> all (next_run_at.except_names))
      order by w.run_at
      limit 1
    ) e
  );
end;
$$;

comment on function pgmill.next_run_at is 'When the earliest scheduled job is due.';

do $$ begin perform pgmill.grant_execute('pgmill.next_run_at', 'pgmill_worker'); end $$;

-- file: sql/worker/reclaim.sql

create or replace function pgmill.reclaim(
  max_jobs int default 1000
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Takes jobs back whose lease ran out: their worker died, hangs, or lost its connection. To the job that is an ordinary
-- failure, with the reason lease_expired.
--
--   max_jobs  1 to 10000, the longest expired first
--
-- Returns  how many.
-- Errors   PM001 invalid_argument.
-- Moves    running -> waiting; after the last attempt, running -> finished (failed); running -> finished (cancelled).
-- Locks    the jobs' rows; passes over rows that others hold (their lease is just being extended or settled), never waits.
declare
  v_now    timestamptz := clock_timestamp();
  v_from   timestamptz := pgmill.read_mark('running');
  v_first  timestamptz;
  v_ids    bigint[];
  v_tokens uuid[];
begin
  if reclaim.max_jobs is null or reclaim.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  select r.lease_until into v_first from pgmill.running r where r.lease_until >= v_from and r.lease_until < v_now order by r.lease_until limit 1;
  if clock_timestamp() > v_now + interval '2 ms' then
    perform pgmill.set_mark('running', 'running_lease_until', v_now, coalesce(v_first, v_now));
  end if;
  if v_first is null then
    return 0;
  end if;

  select array_agg(r.id), array_agg(r.token) into v_ids, v_tokens
  from (
    select r.id, r.token
    from pgmill.running r
    where r.lease_until >= v_first and r.lease_until < v_now
    order by r.lease_until
    limit reclaim.max_jobs
    for update skip locked
  ) r;
  if v_ids is null then
    return 0;
  end if;
  perform pgmill.fail_leases(
    v_ids, v_tokens,
    array_fill('The lease ran out.'::text, array[cardinality(v_ids)]),
    array_fill('lease_expired'::text, array[cardinality(v_ids)]),
    array_fill(null::interval, array[cardinality(v_ids)]),
    array_fill(false, array[cardinality(v_ids)]));
  return cardinality(v_ids);
end;
$$;

comment on function pgmill.reclaim is 'Takes jobs back whose lease ran out.';

do $$ begin perform pgmill.grant_execute('pgmill.reclaim', 'pgmill_worker'); end $$;

-- file: sql/worker/release_jobs.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.release_jobs', 'pgmill_worker'); end $$;

-- file: sql/worker/snooze_job.sql

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

do $$ begin perform pgmill.grant_execute('pgmill.snooze_job', 'pgmill_worker'); end $$;

-- file: sql/worker/tick.sql

create or replace function pgmill.tick()
returns table (task text, changed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- All upkeep in one call. Workers call it about every second; any client may, as often as it likes, from anywhere.
-- Call it outside of a longer transaction, which would keep its locks.
--
-- Returns  a row for each task that found something to do, with how much: reclaim (jobs whose lease ran out), cron (due
--          schedules), admit (due jobs of any queue), ring (slots truncated), partitions (made). No rows: nothing to do, or
--          another session is at it.
-- Errors   none.
-- Moves    see reclaim, add_job, admit_due.
-- Locks    one advisory lock, to the end of the transaction; where another session holds it this returns at once.
--
-- While a snapshot held open elsewhere makes it slow to look for leases that ran out (see set_mark), a session that ticks more often than
-- usual does so no more often.
declare
  v_began     timestamptz := clock_timestamp();
  v_reclaimed bigint      := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('pgmill.tick', 0)) then
    return;
  end if;
  if pgmill.read_mark('tick') = '-infinity' then
    v_reclaimed := pgmill.reclaim();
    if v_reclaimed = 0 and clock_timestamp() > v_began + interval '2 ms' then
      perform pgmill.write_mark('tick', v_began, v_began + interval '700 milliseconds');
    end if;
  end if;
  return query
  select t.task, t.changed
  from (
    -- Evaluated from top to bottom: what takes table locks comes last, so that they are held for the shortest time.
    select 1 as ord, 'reclaim' as task, v_reclaimed as changed
    union all
    select 2, 'cron', pgmill.fire_due_crons()
    union all
    select 3, 'admit', pgmill.admit_all_due()
    union all
    select 4, 'partitions', pgmill.add_partitions()
    union all
    select 5, 'ring', pgmill.turn_ring()::int::bigint
  ) t
  where t.changed > 0;
end;
$$;

comment on function pgmill.tick is 'All upkeep in one call.';

do $$ begin perform pgmill.grant_execute('pgmill.tick', 'pgmill_worker'); end $$;

-- file: sql/schedule/cron_next.sql

create or replace function pgmill.cron_next(
  expression text,
  after      timestamptz,
  timezone   text default 'UTC'
)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds the next time a cron expression comes due.
--
--   expression  minute, hour, day of month, month, day of week, with an optional second in front; or @daily and the like
--   after       the answer is later than this
--   timezone    the zone the expression's times are in, a name of pg_timezone_names
--
-- Where clocks are put forward, a local time that is left out comes as much later. Where they are put
-- back, a local time that comes twice counts the first time; both times when all 24 hours are selected.
--
-- Returns  a whole second; null = never, as for 30 February.
-- Errors   PM001 for null, or a time outside the years 1 to 9999; PM201 wrong expression; PM202 unknown zone.
-- Moves    nothing.
-- Locks    none.
declare
  v_sets    bigint[];
  v_from    timestamptz;
  v_local   timestamp;
  v_offset  interval;
  v_before  interval;
  v_change  timestamptz;
  v_found   timestamp;
  v_late    timestamptz;
  v_tick    timestamptz;
  v_ahead   timestamptz;
begin
  if after is null or after < '0001-01-02 00:00+00' or after > '9999-01-01 00:00+00' then
    raise exception using errcode = 'PM001', message = 'after must be a time between the years 1 and 9999.',
      hint = 'Give the time of the last tick, or now().';
  end if;
  perform pgmill.cron_zone(timezone);
  v_sets := pgmill.cron_parse(expression);
  v_from := date_trunc('second', after) + interval '1 second';

  -- Each turn looks from v_from on by the clock as it stands at v_from.
  loop
    v_local := v_from at time zone timezone;
    v_offset := v_local - (v_from at time zone 'UTC');
    v_late := null;

    -- A change less than a day ago still matters: no change is larger than a day.
    v_ahead := v_from - interval '25 hours';
    v_before := (v_ahead at time zone timezone) - (v_ahead at time zone 'UTC');
    if v_before <> v_offset then
      v_change := pgmill.cron_change(timezone, v_ahead, v_from);
      if v_before < v_offset then
        -- Put forward: the local times left out are still read from the old clock.
        v_found := pgmill.cron_find(v_sets, (v_from at time zone 'UTC') + v_before);
        if v_found < v_change at time zone timezone then
          v_late := (v_found - v_before) at time zone 'UTC';
        end if;
      elsif v_sets[3] <> (1 << 24) - 1 then
        -- Put back: begin where the old clock stopped.
        v_local := greatest(v_local, (v_change at time zone 'UTC') + v_before);
      end if;
    end if;

    v_found := pgmill.cron_find(v_sets, v_local);
    v_tick := (v_found - v_offset) at time zone 'UTC';
    if v_found is null or v_late <= v_tick then
      return v_late;
    end if;

    v_ahead := least(v_tick, v_from + interval '3 days');
    if (v_ahead at time zone timezone) - (v_ahead at time zone 'UTC') <> v_offset then
      -- The clocks change before it: look again from there.
      v_from := pgmill.cron_change(timezone, v_from, v_ahead);
    elsif v_ahead = v_tick then
      return v_tick;
    else
      -- Nothing near: look again from a day before it, by the clock of then.
      v_from := (v_found at time zone timezone) - interval '26 hours';
    end if;
  end loop;
end;
$$;

comment on function pgmill.cron_next is 'Finds the next time a cron expression comes due.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_next', 'pgmill_admin'); end $$;

-- file: sql/schedule/cron_pause.sql

create or replace function pgmill.cron_pause(
  name text
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Stops a schedule until cron_resume. Jobs that it added stay and are done.
--
--   name  the schedule
--
-- Returns  false when it is paused already.
-- Errors   PM001 invalid_argument, PM203 unknown_cron.
-- Moves    nothing.
-- Locks    the schedule's row.
begin
  perform pgmill.check_text('name', cron_pause.name);
  update pgmill.cron c set paused = true where c.name = cron_pause.name and not c.paused;
  if found then
    return true;
  end if;
  perform pgmill.known_cron(cron_pause.name);
  return false;
end;
$$;

comment on function pgmill.cron_pause is 'Stops a schedule until cron_resume.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_pause', 'pgmill_admin'); end $$;

-- file: sql/schedule/cron_remove.sql

create or replace function pgmill.cron_remove(
  name text
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Removes a schedule. Jobs that it added stay and are done.
--
--   name  the schedule
--
-- Returns  false when there is none.
-- Errors   PM001 invalid_argument.
-- Moves    nothing.
-- Locks    the schedule's row, and those of its ticks.
begin
  perform pgmill.check_text('name', cron_remove.name);
  delete from pgmill.cron c where c.name = cron_remove.name;
  if not found then
    return false;
  end if;
  delete from pgmill.cron_tick t where t.cron = cron_remove.name;
  return true;
end;
$$;

comment on function pgmill.cron_remove is 'Removes a schedule.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_remove', 'pgmill_admin'); end $$;

-- file: sql/schedule/cron_resume.sql

create or replace function pgmill.cron_resume(
  name text
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Lets a paused schedule go on with its next tick from now; the ticks of the pause are not made up for. A schedule that is not
-- paused is left alone.
--
--   name  the schedule
--
-- Returns  the next tick.
-- Errors   PM001 invalid_argument, PM203 unknown_cron.
-- Moves    nothing.
-- Locks    the schedule's row.
declare
  v_now  constant timestamptz := clock_timestamp();
  v_tick timestamptz;
begin
  perform pgmill.check_text('name', cron_resume.name);
  update pgmill.cron c
  set paused = false, next_tick = pgmill.cron_first(c.expression, c.every, c.timezone, c.last_tick, v_now)
  where c.name = cron_resume.name and c.paused
  returning c.next_tick into v_tick;
  if found then
    return v_tick;
  end if;
  return pgmill.known_cron(cron_resume.name);
end;
$$;

comment on function pgmill.cron_resume is 'Lets a paused schedule go on with its next tick from now.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_resume', 'pgmill_admin'); end $$;

-- file: sql/schedule/cron_sync.sql

create or replace function pgmill.cron_sync(
  owner text,
  crons jsonb
)
returns table (name text, next_tick timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Makes the schedules of an owner what a list says: adds, changes and removes. All of it or, when one is wrong, nothing. Run it at
-- each start of an application: what is as given is left alone (see cron_upsert), and other owners' schedules are too.
--
--   owner  whose list it is, the application's name for one
--   crons  an array of objects with cron_upsert's parameters as keys, durations as text ('90 seconds'); a key that is left
--          out or null has cron_upsert's default, an unknown key is refused. [] removes all
--
-- Returns  the owner's schedules, by name.
-- Errors   PM001, PM201, PM202, with the schedule's name.
-- Moves    nothing.
-- Locks    the schedules' rows, by name.
#variable_conflict use_column
declare
  v_names text[];
  v_item  jsonb;
  v_hint  text;
begin
  v_names := pgmill.cron_names(cron_sync.owner, cron_sync.crons);

  -- In one order, so that two calls wait but never deadlock.
  perform from pgmill.cron c where c.owner = cron_sync.owner or c.name = any (v_names) order by c.name for update;
  perform pgmill.cron_remove(c.name) from pgmill.cron c where c.owner = cron_sync.owner and c.name <> all (v_names);

  for v_item in select e from jsonb_array_elements(cron_sync.crons) e order by e ->> 'name' loop
    begin
      perform pgmill.put_cron(cron_sync.owner, v_item);
    exception
      when sqlstate 'PM001' or sqlstate 'PM201' or sqlstate 'PM202' then
        get stacked diagnostics v_hint = pg_exception_hint;
        raise exception using
          errcode = sqlstate, message = format('Schedule %s: %s', quote_ident(left(v_item ->> 'name', 60)), sqlerrm), hint = v_hint;
    end;
  end loop;

  return query select c.name, c.next_tick from pgmill.cron c where c.owner = cron_sync.owner order by c.name;
end;
$$;

comment on function pgmill.cron_sync is 'Makes the schedules of an owner what a list says.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_sync', 'pgmill_admin'); end $$;

-- file: sql/schedule/cron_upsert.sql

create or replace function pgmill.cron_upsert(
  name         text,
  expression   text     default null,
  every        interval default null,
  job_name     text     default null,
  payload      jsonb    default '{}',
  timezone     text     default 'UTC',
  queue        text     default 'default',
  priority     int      default 4,
  max_attempts int      default 3,
  timeout      interval default null,
  owner        text     default 'default',
  missed       text     default 'once',
  overlap      boolean  default false,
  retry_base   interval default '1 minute',
  retry_max    interval default '1 day'
)
returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Adds a schedule, or changes the one of that name. Harmless to repeat: what is as given is left alone, a tick that is due stays
-- due, what is paused stays paused. A changed expression holds at once. Jobs that were added stay.
--
--   name         the schedule's name, its own for all owners
--   expression   when: a cron expression (see cron_next)
--   every        or how often, 1 second to 10 years: first at once, then so much after the last tick, or after now when that is past
--   job_name     the name of the jobs; null: the schedule's
--   payload, queue, priority, max_attempts, timeout, retry_base, retry_max
--                of the jobs, as for add_job
--   timezone     of the expression, or of every's days and months: a name of pg_timezone_names
--   owner        who keeps it; cron_sync removes only its own owner's
--   missed       ticks that nobody fired in time: once (one job for all), skip (none, when more than a minute ago), all (one
--                each; after 1000, one for the rest)
--   overlap      false: no new job while an earlier one of the schedule has not ended; the tick is passed over (with missed
--                all: it waits)
--
-- Returns  the next tick.
-- Errors   PM001, also for a schedule of another owner; PM201 wrong expression, or one that never comes due; PM202 unknown zone.
-- Moves    nothing; tick() adds the jobs.
-- Locks    the schedule's row.
#variable_conflict use_column
declare
  v_now   constant timestamptz := clock_timestamp();
  v_tick  timestamptz;
  v_owner text;
begin
  perform pgmill.check_cron(
    cron_upsert.name, cron_upsert.owner, cron_upsert.expression, cron_upsert.every, cron_upsert.timezone, cron_upsert.missed, cron_upsert.overlap);
  perform pgmill.check_job(
    coalesce(cron_upsert.job_name, cron_upsert.name), cron_upsert.payload, cron_upsert.queue, cron_upsert.priority, null,
    cron_upsert.max_attempts, cron_upsert.timeout, cron_upsert.retry_base, cron_upsert.retry_max, null, 'skip');

  insert into pgmill.cron as c (
    name, owner, expression, every, timezone, job_name, queue, payload,
    priority, max_attempts, timeout, retry_base, retry_max, missed,
    overlap, paused, next_tick)
  values (
    cron_upsert.name, cron_upsert.owner, cron_upsert.expression, cron_upsert.every, cron_upsert.timezone,
    coalesce(cron_upsert.job_name, cron_upsert.name), cron_upsert.queue, cron_upsert.payload,
    cron_upsert.priority, cron_upsert.max_attempts, cron_upsert.timeout, cron_upsert.retry_base, cron_upsert.retry_max, cron_upsert.missed,
    cron_upsert.overlap, false, pgmill.cron_first(cron_upsert.expression, cron_upsert.every, cron_upsert.timezone, null, v_now))
  on conflict (name) do update
  set (expression, every, timezone, job_name, queue, payload, priority, max_attempts, timeout, retry_base, retry_max, missed, overlap) = (
      excluded.expression, excluded.every, excluded.timezone, excluded.job_name, excluded.queue, excluded.payload, excluded.priority,
      excluded.max_attempts, excluded.timeout, excluded.retry_base, excluded.retry_max, excluded.missed, excluded.overlap),
    next_tick = case
      -- As text, because '1 day' = '24 hours'.
      when (c.expression, c.every::text, c.timezone) is not distinct from (excluded.expression, excluded.every::text, excluded.timezone)
        or c.next_tick <= v_now  -- a tick that is due stays due
      then c.next_tick
      else pgmill.cron_first(excluded.expression, excluded.every, excluded.timezone, c.last_tick, v_now)
    end,
    error = null,
    try_at = null
  where c.owner = excluded.owner
    and (c.expression, c.every::text, c.timezone, c.job_name, c.queue, c.payload, c.priority,
        c.max_attempts, c.timeout, c.retry_base, c.retry_max, c.missed, c.overlap, c.error)
      is distinct from (
        excluded.expression, excluded.every::text, excluded.timezone, excluded.job_name, excluded.queue, excluded.payload, excluded.priority,
        excluded.max_attempts, excluded.timeout, excluded.retry_base, excluded.retry_max, excluded.missed, excluded.overlap, excluded.error)
  returning c.next_tick into v_tick;

  if v_tick is null then
    select c.next_tick, c.owner into v_tick, v_owner from pgmill.cron c where c.name = cron_upsert.name;
    if v_owner <> cron_upsert.owner then
      perform pgmill.reject('The schedule belongs to another owner.', 'Choose another name, or remove it first with cron_remove.');
    end if;
  end if;
  return v_tick;
end;
$$;

comment on function pgmill.cron_upsert is 'Adds a schedule, or changes the one of that name.';

do $$ begin perform pgmill.grant_execute('pgmill.cron_upsert', 'pgmill_admin'); end $$;

-- file: sql/schedule/find_crons.sql

create or replace function pgmill.find_crons()
returns table (
  name              text,
  owner             text,
  expression        text,
  every             interval,
  timezone          text,
  job_name          text,
  queue             text,
  payload           jsonb,
  priority          int,
  max_attempts      int,
  timeout           interval,
  retry_base        interval,
  retry_max         interval,
  missed            text,
  overlap           boolean,
  paused            boolean,
  next_tick         timestamptz,
  last_tick         timestamptz,
  last_completed_at timestamptz,
  last_job_id       bigint,
  skipped           text,
  error             text
)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Lists the schedules.
--
-- Returns  a row for each, by name. next_tick: null while paused. last_completed_at: when a job of it last succeeded. last_job_id: the
--          last job added. skipped: why the last tick had none (overlap, missed), null when it had one. error: why it could
--          not be fired; tried again every ten seconds.
-- Errors   none.
-- Moves    nothing.
-- Locks    none.
begin
  return query
  select
    c.name, c.owner, c.expression, c.every, c.timezone, c.job_name, c.queue, c.payload, c.priority, c.max_attempts, c.timeout,
    c.retry_base, c.retry_max, c.missed, c.overlap, c.paused, case when not c.paused then c.next_tick end, c.last_tick,
    (select max(t.completed_at) from pgmill.cron_tick t where t.cron = c.name),
    (select t.job_id from pgmill.cron_tick t where t.cron = c.name and t.job_id is not null order by t.tick desc limit 1),
    (select t.skipped from pgmill.cron_tick t where t.cron = c.name and t.tick = c.last_tick),
    c.error
  from pgmill.cron c
  order by c.name;
end;
$$;

comment on function pgmill.find_crons is 'Lists the schedules.';

do $$ begin perform pgmill.grant_execute('pgmill.find_crons', 'pgmill_admin'); end $$;

-- file: sql/observer/average_time_to_completion.sql

create or replace function pgmill.average_time_to_completion(
  "from" timestamptz,
  "to"   timestamptz,
  names  text[] default null
)
returns interval
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- How long jobs took, from run_at (of a retried job: of its last attempt) to completion.
--
--   from, to  over the jobs that completed in from <= finished_at < to
--   names     only jobs with these names; null: any name; an empty list matches nothing
--
-- Returns  the average; null: no such job completed then, or they are cleaned up.
-- Errors   PM001 invalid_argument.
begin
  if average_time_to_completion."from" is null or average_time_to_completion."to" is null then
    perform pgmill.reject('from and to must not be null.', 'Give both bounds.');
  end if;
  perform pgmill.check_run_at('from', average_time_to_completion."from");
  perform pgmill.check_run_at('to', average_time_to_completion."to");
  if average_time_to_completion."from" > average_time_to_completion."to" then
    perform pgmill.reject('from is later than to.', 'Swap them.');
  end if;
  perform pgmill.check_filters('{default}', average_time_to_completion.names, null);
  return (
    select avg(f.finished_at - f.run_at)
    from pgmill.finished f
    where f.state = 'completed'
      and f.finished_at >= average_time_to_completion."from"
      and f.finished_at < average_time_to_completion."to"
      and (average_time_to_completion.names is null or f.name = any (average_time_to_completion.names))
  );
end;
$$;

comment on function pgmill.average_time_to_completion is 'How long jobs took, from run_at to completion.';

do $$ begin perform pgmill.grant_execute('pgmill.average_time_to_completion', 'pgmill_observer'); end $$;

-- file: sql/observer/insights.sql

create or replace function pgmill.insights()
returns table (
  queue            text,
  name             text,
  ready            bigint,
  scheduled        bigint,
  retrying         bigint,
  running          bigint,
  completed        bigint,
  failed           bigint,
  cancelled        bigint,
  oldest_ready_age interval,
  average_wait     interval,
  average_run      interval
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set jit = off
as $$
-- How many jobs there are, all counted in one snapshot.
--
-- Returns  a row for each queue and name that any job has, ended ones too, in their order:
--            ready             may run now
--            scheduled         run_at lies ahead (or is past, and no worker of the queue has asked since); not tried yet
--            retrying          the same, after a failed attempt
--            running, completed, failed, cancelled
--            oldest_ready_age  how long the first of the ready ones has been due; null: none is ready
--            average_wait      from run_at to the claim, over jobs that completed or failed in the last hour; null: none did
--            average_run       from the claim to the end, over the same; both are about a job's last attempt
-- Errors   none.
--
-- Each room is counted for itself, and these counts are added up; the rows are not touched twice, and payloads not at all.
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  -- A query that returns its rows directly may use parallel workers.
  return query
  select
    c.queue, c.name, sum(c.ready)::bigint, sum(c.scheduled)::bigint, sum(c.retrying)::bigint, sum(c.running)::bigint, sum(c.completed)::bigint,
    sum(c.failed)::bigint, sum(c.cancelled)::bigint, v_now - min(c.first_run_at), max(c.average_wait), max(c.average_run)
  from (
    select
      r.queue, r.name, count(*) as ready, 0 as scheduled, 0 as retrying, 0 as running, 0 as completed, 0 as failed, 0 as cancelled,
      min(r.run_at) as first_run_at, null::interval as average_wait, null::interval as average_run
    from pgmill.ready r
    group by r.queue, r.name
    union all
    select w.queue, w.name, 0, count(*) filter (where w.attempts = 0), count(*) filter (where w.attempts > 0), 0, 0, 0, 0, null, null, null
    from pgmill.waiting w
    group by w.queue, w.name
    union all
    select r.queue, r.name, 0, 0, 0, count(*), 0, 0, 0, null, null, null
    from pgmill.running r
    group by r.queue, r.name
    union all
    select
      f.queue, f.name, 0, 0, 0, 0,
      count(*) filter (where f.state = 'completed'), count(*) filter (where f.state = 'failed'), count(*) filter (where f.state = 'cancelled'), null,
      avg(f.claimed_at - f.run_at) filter (where f.finished_at > v_now - interval '1 hour' and f.state in ('completed', 'failed')),
      avg(f.finished_at - f.claimed_at) filter (where f.finished_at > v_now - interval '1 hour' and f.state in ('completed', 'failed'))
    from pgmill.finished f
    group by f.queue, f.name
  ) c
  group by c.queue, c.name
  order by c.queue, c.name;
end;
$$;

comment on function pgmill.insights is 'How many jobs there are, by queue, name and state.';

do $$ begin perform pgmill.grant_execute('pgmill.insights', 'pgmill_observer'); end $$;

-- file: sql/admin/job.sql

-- Every job, whichever room it is in, with the room's name as its state. For reading in psql; the functions find_job
-- and find_jobs read it too. A job waiting to retry is scheduled, with attempts > 0.
create or replace view pgmill.job as
select
  j.id, j.state, j.queue, j.name,
  coalesce(j.payload, (select p.payload from pgmill.payload p where p.id = j.id)) as payload,
  j.priority, j.run_at, j.attempts, j.max_attempts, j.timeout,
  coalesce(j.retry_base, '1 minute') as retry_base, coalesce(j.retry_max, '1 day') as retry_max,
  j.unique_key, coalesce(j.errors, '[]') as errors, j.created_at, j.cron, j.cron_tick,
  j.worker, j.claimed_at, j.lease_until, j.cancel_requested, j.finished_at, j.result
from (
  select
    w.id, 'scheduled'::text as state, w.queue, w.name, w.payload, w.priority, w.run_at, w.attempts, w.max_attempts,
    w.timeout, w.retry_base, w.retry_max, w.unique_key, w.errors, w.created_at, w.cron, w.cron_tick,
    null::text as worker, null::timestamptz as claimed_at, null::timestamptz as lease_until, false as cancel_requested,
    null::timestamptz as finished_at, null::jsonb as result
  from pgmill.waiting w
  union all
  select
    r.id, 'ready', r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
    r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick,
    null, null, null, false, null, null
  from pgmill.ready r
  union all
  select
    r.id, 'running', r.queue, r.name, r.payload, r.priority, r.run_at, r.attempts, r.max_attempts,
    r.timeout, r.retry_base, r.retry_max, r.unique_key, r.errors, r.created_at, r.cron, r.cron_tick,
    r.worker, r.claimed_at, r.lease_until, r.cancel_requested, null, null
  from pgmill.running r
  union all
  select
    f.id, f.state, f.queue, f.name, f.payload, f.priority, f.run_at, f.attempts, f.max_attempts,
    f.timeout, f.retry_base, f.retry_max, f.unique_key, f.errors, f.created_at, f.cron, f.cron_tick,
    f.worker, f.claimed_at, null, false, f.finished_at, f.result
  from pgmill.finished f
) j;

comment on view pgmill.job is 'Every job, whichever room it is in.';

-- file: sql/admin/cancel_job.sql

create or replace function pgmill.cancel_job(
  id bigint
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Cancels a job that has not started; asks a running one to stop, which its worker learns with its next heartbeat (a
-- notification on the channel pgmill_cancel brings that forward). A running job that completes all the same is completed; however
-- else it ends, it is cancelled.
--
--   id  the job
--
-- Returns  whether anything happened: false when there is no such job, it has ended, or it was asked before.
-- Errors   PM001 invalid_argument.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the job's row; then the row of its key. Waits for a call that is just moving the job.
begin
  perform pgmill.check_id(cancel_job.id);
  return pgmill.cancel_ids(array[cancel_job.id]) > 0;
end;
$$;

comment on function pgmill.cancel_job is 'Cancels a job, or asks it to stop when it runs.';

do $$ begin perform pgmill.grant_execute('pgmill.cancel_job', 'pgmill_admin'); end $$;

-- file: sql/admin/cancel_jobs.sql

create or replace function pgmill.cancel_jobs(
  name       text        default null,
  queue      text        default null,
  priority   int         default null,
  run_at     timestamptz default null,
  run_from   timestamptz default null,
  run_until  timestamptz default null,
  unique_key text        default null
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Cancels jobs that have not started, and asks running ones to stop; see cancel_job. Every condition that is given must hold; with none,
-- every live job is meant.
--
--   name, queue, priority  null: any
--   run_at                 exactly then; null: any
--   run_from, run_until    run_from <= run_at < run_until; null: no bound
--   unique_key             null: any
--
-- Returns  how many jobs were cancelled, or newly asked to stop. Jobs that are added or changed while this runs may be passed over.
-- Errors   PM001 invalid_argument; 40P01 when another transaction replaces several of these jobs by their unique_key just now: call again.
-- Moves    waiting -> finished (cancelled); ready -> finished (cancelled).
-- Locks    the jobs' rows, by id, room by room in the order waiting, ready, running; then the rows of their keys. Waits for
--          calls that are just moving one of the jobs.
declare
  v_holders bigint[];
  v_ids     bigint[];
begin
  perform pgmill.check_selection(cancel_jobs.name, cancel_jobs.queue, cancel_jobs.unique_key, cancel_jobs.run_from, cancel_jobs.run_until);
  perform pgmill.check_run_at('run_at', cancel_jobs.run_at);

  -- Who holds the key is written down; the rooms have no index on it.
  if cancel_jobs.unique_key is not null then
    v_holders := array(
      select k.id
      from pgmill.job_key k
      where k.unique_key = cancel_jobs.unique_key and (cancel_jobs.queue is null or k.queue = cancel_jobs.queue));
  end if;

  select array_agg(j.id order by j.id) into v_ids
  from pgmill.job j
  where j.state in ('scheduled', 'ready', 'running')
    and not j.cancel_requested
    and (cancel_jobs.name is null or j.name = cancel_jobs.name)
    and (cancel_jobs.queue is null or j.queue = cancel_jobs.queue)
    and (cancel_jobs.priority is null or j.priority = cancel_jobs.priority)
    and (cancel_jobs.run_at is null or j.run_at = cancel_jobs.run_at)
    and (cancel_jobs.run_from is null or j.run_at >= cancel_jobs.run_from)
    and (cancel_jobs.run_until is null or j.run_at < cancel_jobs.run_until)
    and (cancel_jobs.unique_key is null or j.id = any (v_holders));
  if v_ids is null then
    return 0;
  end if;
  return pgmill.cancel_ids(v_ids);
end;
$$;

comment on function pgmill.cancel_jobs is 'Cancels jobs, or asks them to stop when they run.';

do $$ begin perform pgmill.grant_execute('pgmill.cancel_jobs', 'pgmill_admin'); end $$;

-- file: sql/admin/cleanup.sql

create or replace function pgmill.cleanup(
  completed_after interval default '5 days',
  failed_after    interval default '30 days',
  cancelled_after interval default '5 days'
)
returns table (state text, removed bigint)
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set timezone = 'UTC'
as $$
-- Forgets jobs that ended long enough ago. Call it every hour or day, outside of a longer transaction, which would keep its locks.
--
--   completed_after, failed_after, cancelled_after
--     how long to keep jobs after they ended so: 0 to 36600 days, a hundred years
--
-- Returns  three rows: how many jobs it removed of each state. A day (UTC) that is old as a whole is dropped at once, with all its
--          jobs; others are deleted, at most 100,000 of each state in one call: call again while it removes as many.
-- Errors   PM001 invalid_argument.
-- Locks    see delete_ended and drop_days: never holds up other calls for much longer than 100 ms. Days in use are left for
--          the next call.
declare
  v_states  text[]        := array['completed', 'failed', 'cancelled'];
  v_now     timestamptz   := clock_timestamp();
  v_befores timestamptz[];
  v_removed bigint[];
begin
  perform pgmill.check_interval('completed_after', cleanup.completed_after, '0', '36600 days');
  perform pgmill.check_interval('failed_after', cleanup.failed_after, '0', '36600 days');
  perform pgmill.check_interval('cancelled_after', cleanup.cancelled_after, '0', '36600 days');

  -- Never in the future, which '-1 year 360 days' would be: it compares as zero.
  v_befores := array(
    select least(v_now, v_now - a.age)
    from unnest(array[cleanup.completed_after, cleanup.failed_after, cleanup.cancelled_after]) with ordinality a(age, ord)
    order by a.ord);

  -- Deletes first: what is dropped stays locked to the end.
  v_removed := array(
    select pgmill.delete_ended(s.state, s.before) from unnest(v_states, v_befores) with ordinality s(state, before, ord) order by s.ord);

  return query
  select s.state, s.removed + coalesce(sum(d.removed), 0)::bigint
  from unnest(v_states, v_removed) with ordinality s(state, removed, ord)
  left join pgmill.drop_days(v_states, v_befores) d on d.state = s.state
  group by s.state, s.removed, s.ord
  order by s.ord;
end;
$$;

comment on function pgmill.cleanup is 'Forgets jobs that ended long enough ago.';

do $$ begin perform pgmill.grant_execute('pgmill.cleanup', 'pgmill_admin'); end $$;

-- file: sql/admin/find_job.sql

create or replace function pgmill.find_job(
  id bigint
)
returns setof pgmill.job
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Finds a job, whichever room it is in.
--
--   id  the job
--
-- Returns  one row, with the columns of the view pgmill.job; none when there is no such job (it was forgotten, or cleaned up).
-- Errors   PM001 invalid_argument.
begin
  perform pgmill.check_id(find_job.id);
  -- One statement, one snapshot: a job on its way between two rooms is seen in exactly one of them.
  return query select j.* from pgmill.job j where j.id = find_job.id;
end;
$$;

comment on function pgmill.find_job is 'Finds a job, whichever room it is in.';

do $$ begin perform pgmill.grant_execute('pgmill.find_job', 'pgmill_admin'); end $$;

-- file: sql/admin/find_jobs.sql

create or replace function pgmill.find_jobs(
  state      text        default null,
  queue      text        default null,
  name       text        default null,
  unique_key text        default null,
  run_from   timestamptz default null,
  run_until  timestamptz default null,
  max_jobs   int         default 100,
  after_id   bigint      default null
)
returns setof pgmill.job
language plpgsql
stable
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Lists jobs by id. Every condition that is given must hold.
--
--   state                scheduled, ready, running, completed, failed or cancelled; null: any
--   queue, name          null: any
--   unique_key           null: any; several jobs that ended may have had it
--   run_from, run_until  run_from <= run_at < run_until; null: no bound
--   max_jobs             1 to 10000
--   after_id             for the next page: the last id of this one; null: from the start
--
-- Returns  the jobs in the order of their ids, with the columns of the view pgmill.job.
-- Errors   PM001 invalid_argument.
--
-- Planned anew for each call, so that a condition which is not given, and a partition which cannot match, cost nothing.
begin
  if find_jobs.state is not null and find_jobs.state not in ('scheduled', 'ready', 'running', 'completed', 'failed', 'cancelled') then
    perform pgmill.reject('state is not known.', 'Use scheduled, ready, running, completed, failed or cancelled.');
  end if;
  perform pgmill.check_selection(find_jobs.name, find_jobs.queue, find_jobs.unique_key, find_jobs.run_from, find_jobs.run_until);
  if find_jobs.max_jobs is null or find_jobs.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  return query
  select j.*
  from pgmill.job j
  where (find_jobs.state is null or j.state = find_jobs.state)
    and (find_jobs.queue is null or j.queue = find_jobs.queue)
    and (find_jobs.name is null or j.name = find_jobs.name)
    and (find_jobs.unique_key is null or j.unique_key = find_jobs.unique_key)
    and (find_jobs.run_from is null or j.run_at >= find_jobs.run_from)
    and (find_jobs.run_until is null or j.run_at < find_jobs.run_until)
    and (find_jobs.after_id is null or j.id > find_jobs.after_id)
  order by j.id
  limit find_jobs.max_jobs;
end;
$$;

comment on function pgmill.find_jobs is 'Lists jobs by id.';

do $$ begin perform pgmill.grant_execute('pgmill.find_jobs', 'pgmill_admin'); end $$;

-- file: sql/admin/retry_job.sql

create or replace function pgmill.retry_job(
  id bigint
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Runs a failed or cancelled job again: the same job, due now, with all its attempts, its errors kept.
--
--   id  the job
--
-- Returns  false when there is no such job, or it is neither failed nor cancelled.
-- Errors   PM001 invalid_argument; PM004 duplicate_key, when another live job holds its unique_key by now.
-- Moves    finished -> ready.
-- Locks    the job's row; then the row of its key. Waits for a call that takes or frees the same key.
declare
  v_live_id bigint;
begin
  perform pgmill.check_id(retry_job.id);
  select r.live_id into v_live_id from pgmill.retry_ids(array[retry_job.id]) r;
  if v_live_id <> retry_job.id then
    raise exception using
      errcode = 'PM004',
      message = format('A live job (%s) holds the unique_key of job %s.', v_live_id, retry_job.id),
      hint = 'Wait until that job has ended, or cancel it.';
  end if;
  return v_live_id is not null;
end;
$$;

comment on function pgmill.retry_job is 'Runs a failed or cancelled job again.';

do $$ begin perform pgmill.grant_execute('pgmill.retry_job', 'pgmill_admin'); end $$;

-- file: sql/admin/retry_jobs.sql

create or replace function pgmill.retry_jobs(
  name      text        default null,
  queue     text        default null,
  state     text        default null,
  run_from  timestamptz default null,
  run_until timestamptz default null,
  max_jobs  int         default 1000
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
as $$
-- Runs failed and cancelled jobs again; see retry_job. Every condition that is given must hold.
--
--   name, queue          null: any
--   state                failed or cancelled; null: both
--   run_from, run_until  run_from <= run_at < run_until; null: no bound
--   max_jobs             1 to 10000, those with the lowest ids first
--
-- Returns  how many; call again until it is 0. A job whose unique_key a live job holds is passed over, so of several with one
--          unique_key the first comes back.
-- Errors   PM001 invalid_argument.
-- Moves    finished -> ready.
-- Locks    the jobs' rows, by id; then the rows of their keys. Waits for calls that take or free one of the keys.
declare
  v_ids bigint[];
begin
  perform pgmill.check_selection(retry_jobs.name, retry_jobs.queue, null, retry_jobs.run_from, retry_jobs.run_until);
  if retry_jobs.state is not null and retry_jobs.state not in ('failed', 'cancelled') then
    perform pgmill.reject('state is not known.', 'Use failed or cancelled; null means both.');
  end if;
  if retry_jobs.max_jobs is null or retry_jobs.max_jobs not between 1 and 10000 then
    perform pgmill.reject('max_jobs is out of range.', 'Give 1 to 10000.');
  end if;

  select array_agg(p.id) into v_ids
  from (
    select f.id
    from pgmill.finished f
    where f.state in ('failed', 'cancelled')
      and (retry_jobs.state is null or f.state = retry_jobs.state)
      and (retry_jobs.name is null or f.name = retry_jobs.name)
      and (retry_jobs.queue is null or f.queue = retry_jobs.queue)
      and (retry_jobs.run_from is null or f.run_at >= retry_jobs.run_from)
      and (retry_jobs.run_until is null or f.run_at < retry_jobs.run_until)
      and (f.unique_key is null or not exists (
        select from pgmill.job_key k where k.queue = f.queue and k.unique_key = f.unique_key))
    order by f.id
    limit retry_jobs.max_jobs
  ) p;
  return (select count(*) from pgmill.retry_ids(v_ids) r where r.live_id = r.id);
end;
$$;

comment on function pgmill.retry_jobs is 'Runs failed and cancelled jobs again.';

do $$ begin perform pgmill.grant_execute('pgmill.retry_jobs', 'pgmill_admin'); end $$;

-- file: sql/admin/update_job.sql

create or replace function pgmill.update_job(
  id           bigint,
  payload      jsonb       default null,
  priority     int         default null,
  run_at       timestamptz default null,
  max_attempts int         default null,
  timeout      interval    default null,
  retry_base   interval    default null,
  retry_max    interval    default null
)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pgmill, pg_temp
as $$
-- Changes a job that waits for its time, for a retry or for a worker.
--
--   id            the job
--   payload, priority, run_at, max_attempts, timeout, retry_base, retry_max
--                 as for add_job; null: leave as it is, so a timeout can be changed but not taken away
--   run_at        past: now
--   max_attempts  must leave the job at least one more attempt
--
-- Returns  false when there is no such job, or it has ended.
-- Errors   PM001 invalid_argument; PM005 job_running.
-- Moves    waiting or ready -> waiting, when run_at lies ahead; else -> ready.
-- Locks    the job's row. Waits for a call that is just moving the job.
declare
  v_now  timestamptz := clock_timestamp();
  v_room text;
  j      record;
begin
  perform pgmill.check_id(update_job.id);
  -- What is not given is checked in the guise of something good.
  perform pgmill.check_job(
    'any', coalesce(update_job.payload, '{}'), 'any', coalesce(update_job.priority, 0), update_job.run_at, coalesce(update_job.max_attempts, 1),
    update_job.timeout, coalesce(update_job.retry_base, '0'), coalesce(update_job.retry_max, '0'), null, 'skip');

  for i in 1..100 loop
    delete from pgmill.waiting w where w.id = update_job.id returning w.* into j;
    if not found then
      delete from pgmill.ready r where r.id = update_job.id returning r.* into j;
    end if;
    if found then
      if update_job.max_attempts <= j.attempts then
        perform pgmill.reject(
          format('max_attempts is %s, and as many attempts are charged already.', update_job.max_attempts), format('Give at least %s.', j.attempts + 1));
      end if;
      if update_job.payload is not null and j.payload is null then
        delete from pgmill.payload p where p.id = j.id;
      end if;
      perform pgmill.insert_job(
        j.id, j.queue, j.name, coalesce(update_job.payload, j.payload), coalesce(update_job.priority, j.priority),
        case when update_job.run_at is null then j.run_at else greatest(update_job.run_at, v_now) end,
        j.attempts, coalesce(update_job.max_attempts, j.max_attempts), coalesce(update_job.timeout, j.timeout),
        coalesce(update_job.retry_base, j.retry_base), coalesce(update_job.retry_max, j.retry_max),
        j.unique_key, j.errors, j.created_at, j.cron, j.cron_tick);
      return true;
    end if;

    select r.room into v_room
    from (
      select 'running' as room from pgmill.running r where r.id = update_job.id
      union all
      select 'waiting' from pgmill.waiting w where w.id = update_job.id
      union all
      select 'ready' from pgmill.ready r where r.id = update_job.id
    ) r;
    if v_room is null then
      return false;
    end if;
    exit when v_room = 'running';
    -- It came back from running, or from ready to waiting, between two of these statements: look again.
  end loop;
  raise exception using
    errcode = 'PM005',
    message = format('Job %s is running.', update_job.id),
    hint = 'Call again when the attempt has ended, or cancel the job and add another.';
end;
$$;

comment on function pgmill.update_job is 'Changes a job that is not running.';

do $$ begin perform pgmill.grant_execute('pgmill.update_job', 'pgmill_admin'); end $$;

-- file: the end

do $$ begin perform pgmill.add_partitions(); end $$;

insert into pgmill.installed (version, sql_hash) values ('0.0.1', 'sha1:48f45afeff3d336f1d6427be8d8ba30928a5344b')
on conflict (one) do update
set version = excluded.version, sql_hash = excluded.sql_hash, installed_at = now()
where (installed.version, installed.sql_hash) is distinct from (excluded.version, excluded.sql_hash);

commit;
