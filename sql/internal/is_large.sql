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

select pgmill.grant_execute('pgmill.is_large', null);
