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

select pgmill.grant_execute('pgmill.cron_next', 'pgmill_admin');
