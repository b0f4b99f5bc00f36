// cron_next in every time zone of the server over two years, against a walk over every local time.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';

const db = await testDatabase(t);
const [from, to] = ['2025-01-01', '2027-01-01'];

// posix/Europe/Paris and the like are the same files once more.
const zones = (await db.sql(`select z.name from pg_timezone_names z where z.name !~ '^posix/' order by z.name`)).map(
  ({ name }) => name,
);

await db.sql(`
  -- The expressions, and what they select in words of their own. Minutes are multiples of five: the walk's step.
  create table test_expression (expression text, minutes int[], hours int[], weekdays int[]);
  insert into test_expression values
    ('*/20 * * * *', '{0,20,40}', array(select generate_series(0, 23)), '{0,1,2,3,4,5,6}'),
    ('15 * * * sun', '{15}', array(select generate_series(0, 23)), '{0}'),
    ('10,40 0-3,22-23 * * *', '{10,40}', '{0,1,2,3,22,23}', '{0,1,2,3,4,5,6}'),
    ('50 1-23/2 * * *', '{50}', '{1,3,5,7,9,11,13,15,17,19,21,23}', '{0,1,2,3,4,5,6}'),
    ('0 0 * * *', '{0}', '{0}', '{0,1,2,3,4,5,6}'),
    ('30 2 * * 6-7', '{30}', '{2}', '{6,0}');

  create function test_selects(e test_expression, clock timestamp) returns boolean language sql immutable as $$
    select extract(minute from clock) = any (e.minutes) and extract(hour from clock) = any (e.hours) and extract(dow from clock) = any (e.weekdays)
  $$;

  -- What has to come between two moments, by looking at the zone's clock every five minutes.
  create function test_walk(e test_expression, zone text, after timestamptz, until timestamptz) returns timestamptz[] language sql as $$
    with seen as materialized (
      select s.at, s.at at time zone zone as clock from generate_series(after - interval '4 hours', until, interval '5 minutes') s(at)
    ), selected as (
      -- A local time that comes twice: the first time, or both when all hours are selected.
      select min(s.at) as at from seen s where test_selects(e, s.clock) group by s.clock
      union
      select s.at from seen s where cardinality(e.hours) = 24 and test_selects(e, s.clock)
      union
      -- A local time that is left out comes as long after the clock's last time before it as if the clock had gone on.
      select last.at + (lost.clock - last.clock)
      from generate_series((select min(s.clock) from seen s), (select max(s.clock) from seen s), interval '5 minutes') lost(clock)
      cross join lateral (select s.at, s.clock from seen s where s.clock < lost.clock order by s.clock desc limit 1) last
      where test_selects(e, lost.clock) and not exists (select from seen s where s.clock = lost.clock)
    )
    select array_agg(s.at order by s.at) from selected s where s.at > after and s.at <= until
  $$;

  create function test_ticks(expression text, zone text, after timestamptz, until timestamptz) returns timestamptz[] language plpgsql as $$
  declare
    v_ticks timestamptz[];
  begin
    loop
      after := pgmill.cron_next(expression, after, zone);
      exit when after > until;
      v_ticks := v_ticks || after;
    end loop;
    return v_ticks;
  end $$;

  -- Every change of the clocks, to within six hours.
  create table test_change as
  select z.name as zone, s.at
  from pg_timezone_names z cross join generate_series('${from}Z'::timestamptz, '${to}Z', interval '6 hours') s(at)
  where z.name !~ '^posix/'
    and (s.at at time zone z.name) - (s.at at time zone 'UTC')
      <> ((s.at - interval '6 hours') at time zone z.name) - ((s.at - interval '6 hours') at time zone 'UTC')`);

t.test('comes exactly when it has to around every change of the clocks', async (t) => {
  const [{ changed, changes }] = await db.sql(
    'select count(distinct zone)::int as changed, count(*)::int as changes from test_change',
  );
  t.comment(`${zones.length} zones; ${changes} changes in ${changed} of them`);
  t.ok(changes > 400, 'there are changes to look at');
  const halves = await Promise.all([0, 1].map((half) => compareAround(half)));
  const wrong = halves.flat();
  t.same(wrong.slice(0, 5), [], `${wrong.length} differences`);
});

/** From some hours before to a day after, on two connections. */
function compareAround(half: number) {
  return db.sql(
    `select c.zone, c.at, e.expression, r.ours, r.walked
     from (select c.*, row_number() over (order by c.zone, c.at) % 2 as half from test_change c) c
     cross join test_expression e
     cross join lateral (
       select
         test_ticks(e.expression, c.zone, c.at - interval '9 hours', c.at + interval '26 hours') as ours,
         test_walk(e, c.zone, c.at - interval '9 hours', c.at + interval '26 hours') as walked
     ) r
     where c.half = $1 and r.ours is distinct from r.walked`,
    [half],
  );
}

t.test('comes exactly when it has to on the days between', async (t) => {
  // Two local times that no zone's clock leaves out or has twice, twice a month, from tick to tick over two years.
  const wrong = await db.sql(
    `select z.name, r.ours, r.expected
     from unnest($1::text[]) z(name)
     cross join lateral (
       select
         test_ticks('35 5,17 9,23 * *', z.name, '${from}'::timestamp at time zone z.name, '${to}'::timestamp at time zone z.name) as ours,
         array(
           select (day + time '05:35' + half * interval '12 hours') at time zone z.name
           from generate_series('${from}'::timestamp, '${to}', interval '1 day') day, generate_series(0, 1) half
           where extract(day from day) in (9, 23)
           order by day, half
         ) as expected
     ) r
     where r.ours is distinct from r.expected`,
    [zones],
  );
  t.ok(zones.length > 300, 'there are zones to look at');
  t.same(wrong.slice(0, 5), [], `${wrong.length} differences`);
});
