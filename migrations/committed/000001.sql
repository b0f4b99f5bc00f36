--! Previous: -
--! Hash: sha1:d48d14e433e1a59d467420798a89b5c5bd89d758

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
