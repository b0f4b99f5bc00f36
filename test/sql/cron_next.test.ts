import t from 'tap';
import { testDatabase } from '../postgres/database.js';

const db = await testDatabase(t);

/** Local times: after the first, in the zone, the expression comes due at each of the others. */
const cases: Record<string, [expression: string, zone: string, after: string, ...ticks: (string | null)[]][]> = {
  'takes single values, steps, ranges and lists': [
    ['0 9 * * *', 'UTC', '2026-03-10 08:00', '2026-03-10 09:00', '2026-03-11 09:00'],
    ['*/20 * * * *', 'UTC', '2026-03-10 08:05', '2026-03-10 08:20', '2026-03-10 08:40', '2026-03-10 09:00'],
    ['5-7 8 * * *', 'UTC', '2026-03-10 08:05', '2026-03-10 08:06', '2026-03-10 08:07', '2026-03-11 08:05'],
    ['10-40/15 8 * * *', 'UTC', '2026-03-10 08:00', '2026-03-10 08:10', '2026-03-10 08:25', '2026-03-10 08:40'],
    ['50/4 8 * * *', 'UTC', '2026-03-10 08:51', '2026-03-10 08:54', '2026-03-10 08:58', '2026-03-11 08:50'],
    [
      '3,1-2,*/30 8 * * *',
      'UTC',
      '2026-03-10 08:00',
      '2026-03-10 08:01',
      '2026-03-10 08:02',
      '2026-03-10 08:03',
      '2026-03-10 08:30',
    ],
    ['00 009 01 01 *', 'UTC', '2026-03-10 08:00', '2027-01-01 09:00'],
    ['*/100 8 * * *', 'UTC', '2026-03-10 08:00', '2026-03-11 08:00'],
    ['0,0 8,8-9 * * *', 'UTC', '2026-03-10 08:00', '2026-03-10 09:00', '2026-03-11 08:00'],
    ['0 8 ? * ?', 'UTC', '2026-03-10 08:00', '2026-03-11 08:00'],
    ['59 23 31 12 *', 'UTC', '2026-12-31 23:58', '2026-12-31 23:59', '2027-12-31 23:59'],
    ['  0\t9 *\n* * ', 'UTC', '2026-03-10 08:00', '2026-03-10 09:00'],
  ],
  'takes seconds as the first of six fields': [
    ['* * * * * *', 'UTC', '2026-03-10 08:00:00', '2026-03-10 08:00:01', '2026-03-10 08:00:02'],
    ['*/25 59 23 * * *', 'UTC', '2026-03-10 23:59:25', '2026-03-10 23:59:50', '2026-03-11 23:59:00'],
    ['30 0 0 1 1 *', 'UTC', '2026-03-10 08:00:00', '2027-01-01 00:00:30'],
  ],
  'takes names of months and weekdays in any case': [
    ['0 0 1 jan *', 'UTC', '2026-03-10 08:00', '2027-01-01 00:00'],
    ['0 0 1 FEB-Apr/2 *', 'UTC', '2026-03-10 08:00', '2026-04-01 00:00', '2027-02-01 00:00'],
    ['0 0 1 nov,dec *', 'UTC', '2026-03-10 08:00', '2026-11-01 00:00', '2026-12-01 00:00'],
    ['0 0 * * MON-fri', 'UTC', '2026-03-12 08:00', '2026-03-13 00:00', '2026-03-16 00:00'],
    ['0 0 * * sat,Sun', 'UTC', '2026-03-12 08:00', '2026-03-14 00:00', '2026-03-15 00:00', '2026-03-21 00:00'],
  ],
  'takes 0 and 7 for Sunday': [
    ['0 0 * * 0', 'UTC', '2026-03-12 08:00', '2026-03-15 00:00', '2026-03-22 00:00'],
    ['0 0 * * 7', 'UTC', '2026-03-12 08:00', '2026-03-15 00:00', '2026-03-22 00:00'],
    ['0 0 * * 6-7', 'UTC', '2026-03-12 08:00', '2026-03-14 00:00', '2026-03-15 00:00', '2026-03-21 00:00'],
    ['0 0 * * 0/3', 'UTC', '2026-03-14 08:00', '2026-03-15 00:00', '2026-03-18 00:00', '2026-03-21 00:00'],
    ['0 0 * * */7', 'UTC', '2026-03-12 08:00', '2026-03-15 00:00', '2026-03-22 00:00'],
  ],
  'takes the last day of the month': [
    ['0 0 L * *', 'UTC', '2028-01-31 08:00', '2028-02-29 00:00', '2028-03-31 00:00', '2028-04-30 00:00'],
    ['0 0 l 2 *', 'UTC', '2026-03-01 08:00', '2027-02-28 00:00', '2028-02-29 00:00'],
    ['0 0 15,L * *', 'UTC', '2026-04-02 08:00', '2026-04-15 00:00', '2026-04-30 00:00', '2026-05-15 00:00'],
  ],
  'takes the last and the nth weekday of the month': [
    ['0 0 * * 5L', 'UTC', '2026-01-01 08:00', '2026-01-30 00:00', '2026-02-27 00:00', '2026-03-27 00:00'],
    ['0 0 * * friL', 'UTC', '2026-01-01 08:00', '2026-01-30 00:00'],
    ['0 0 * * 7L', 'UTC', '2026-01-01 08:00', '2026-01-25 00:00', '2026-02-22 00:00'],
    ['0 0 * * 1#2', 'UTC', '2026-01-01 08:00', '2026-01-12 00:00', '2026-02-09 00:00', '2026-03-09 00:00'],
    ['0 0 * * MON#2', 'UTC', '2026-01-01 08:00', '2026-01-12 00:00'],
    ['0 0 * * 0#1', 'UTC', '2026-01-05 08:00', '2026-02-01 00:00', '2026-03-01 00:00', '2026-04-05 00:00'],
    ['0 0 * * 4#5', 'UTC', '2026-01-05 08:00', '2026-01-29 00:00', '2026-04-30 00:00'],
    ['0 0 * * 1#1,1#3', 'UTC', '2026-01-01 08:00', '2026-01-05 00:00', '2026-01-19 00:00', '2026-02-02 00:00'],
    ['0 0 * * 1L,3', 'UTC', '2026-01-22 08:00', '2026-01-26 00:00', '2026-01-28 00:00', '2026-02-04 00:00'],
  ],
  'takes either day when both day fields are restricted': [
    ['0 0 13 * 5', 'UTC', '2026-03-01 08:00', '2026-03-06 00:00', '2026-03-13 00:00', '2026-03-20 00:00'],
    ['0 0 13 * 1', 'UTC', '2026-03-10 08:00', '2026-03-13 00:00', '2026-03-16 00:00'],
    ['0 0 L * 1#1', 'UTC', '2026-03-10 08:00', '2026-03-31 00:00', '2026-04-06 00:00'],
    ['0 0 13 * ?', 'UTC', '2026-03-10 08:00', '2026-03-13 00:00', '2026-04-13 00:00'],
    ['0 0 ? * 1', 'UTC', '2026-03-10 08:00', '2026-03-16 00:00', '2026-03-23 00:00'],
    // Restricted is what is not exactly * or ?.
    ['0 0 */1 * 1', 'UTC', '2026-03-10 08:00', '2026-03-11 00:00', '2026-03-12 00:00'],
    ['0 0 1 * */2', 'UTC', '2026-03-30 08:00', '2026-03-31 00:00', '2026-04-01 00:00', '2026-04-02 00:00'],
  ],
  'takes the names that stand for an expression': [
    ['@yearly', 'UTC', '2026-03-10 08:00', '2027-01-01 00:00'],
    ['@annually', 'UTC', '2026-03-10 08:00', '2027-01-01 00:00'],
    ['@monthly', 'UTC', '2026-03-10 08:00', '2026-04-01 00:00'],
    ['@weekly', 'UTC', '2026-03-10 08:00', '2026-03-15 00:00'],
    ['@daily', 'UTC', '2026-03-10 08:00', '2026-03-11 00:00'],
    [' @Midnight ', 'UTC', '2026-03-10 08:00', '2026-03-11 00:00'],
    ['@hourly', 'UTC', '2026-03-10 08:00', '2026-03-10 09:00'],
  ],
  'finds rare days however far away, and says never by null': [
    ['0 0 29 2 *', 'UTC', '2028-02-29 00:00', '2032-02-29 00:00'],
    ['0 0 29 2 *', 'UTC', '2096-02-29 00:00', '2104-02-29 00:00'],
    ['0 0 * 2 1#5', 'UTC', '2072-02-29 00:00', '2112-02-29 00:00'],
    ['0 0 * 2 1#5', 'Australia/Adelaide', '2072-02-29 00:00', '2112-02-29 00:00'],
    ['0 0 30 2 *', 'UTC', '2026-03-10 08:00', null],
    ['0 0 31 2,4,6,9,11 ?', 'Europe/Amsterdam', '2026-03-10 08:00', null],
  ],
  'reads the expression in its zone': [
    ['0 9 * * 1-5', 'Europe/Amsterdam', '2026-03-27 09:00', '2026-03-30 09:00', '2026-03-31 09:00'],
    ['0 0 1 1 *', 'Pacific/Kiritimati', '2026-03-10 08:00', '2027-01-01 00:00'],
    ['45 5 * * *', 'Asia/Kathmandu', '2026-03-10 08:00', '2026-03-11 05:45'],
    ['0 0 L * *', 'Pacific/Pago_Pago', '2026-02-10 08:00', '2026-02-28 00:00'],
  ],
};

/** Moments in UTC, around changes of the clocks. */
const changes: typeof cases = {
  'shifts a local time that is left out, once': [
    // Amsterdam, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    ['30 2 * * *', 'Europe/Amsterdam', '2026-03-28 12:00', '2026-03-29 01:30', '2026-03-30 00:30'],
    ['0 2,3 * * *', 'Europe/Amsterdam', '2026-03-28 12:00', '2026-03-29 01:00', '2026-03-30 00:00'],
    ['15 2 * * *', 'Europe/Amsterdam', '2026-03-29 01:05', '2026-03-29 01:15', '2026-03-30 00:15'],
    ['50 2 * * *', 'Europe/Amsterdam', '2026-03-29 01:40', '2026-03-29 01:50', '2026-03-30 00:50'],
    [
      '*/30 1-3 * * *',
      'Europe/Amsterdam',
      '2026-03-29 00:00',
      '2026-03-29 00:30',
      '2026-03-29 01:00',
      '2026-03-29 01:30',
      '2026-03-29 23:00',
    ],
    ['30 * * * *', 'Europe/Amsterdam', '2026-03-29 00:00', '2026-03-29 00:30', '2026-03-29 01:30', '2026-03-29 02:30'],
    // New York, 8 March 2026, at 07:00 UTC.
    ['30 2 8 3 *', 'America/New_York', '2026-01-01 00:00', '2026-03-08 07:30', '2027-03-08 07:30'],
    // Lord Howe, 4 October 2026: 02:00 becomes 02:30 at 15:30 UTC.
    ['15 2 * * *', 'Australia/Lord_Howe', '2026-10-03 00:00', '2026-10-03 15:45', '2026-10-04 15:15'],
    // Santiago, 6 September 2026: midnight becomes 01:00 at 04:00 UTC.
    ['0 0 * * *', 'America/Santiago', '2026-09-05 12:00', '2026-09-06 04:00', '2026-09-07 03:00'],
    ['10 0 6 9 *', 'America/Santiago', '2026-09-05 12:00', '2026-09-06 04:10', '2027-09-06 03:10'],
    // Apia went without 30 December 2011.
    ['0 12 * * *', 'Pacific/Apia', '2011-12-29 12:00', '2011-12-29 22:00', '2011-12-30 22:00', '2011-12-31 22:00'],
    ['55 23 30 12 *', 'Pacific/Apia', '2011-12-31 09:50', '2011-12-31 09:55', '2012-12-30 09:55'],
    ['0 13 30 12 *', 'Pacific/Apia', '2011-12-01 00:00', '2011-12-30 23:00', '2012-12-29 23:00'],
  ],
  'runs once in the hour that comes twice, the first time': [
    // Amsterdam, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
    ['30 2 * * *', 'Europe/Amsterdam', '2026-10-24 12:00', '2026-10-25 00:30', '2026-10-26 01:30'],
    ['30 2 * * *', 'Europe/Amsterdam', '2026-10-25 01:10', '2026-10-26 01:30'],
    ['50 2 * * *', 'Europe/Amsterdam', '2026-10-25 01:40', '2026-10-26 01:50'],
    [
      '*/30 1-3 * * *',
      'Europe/Amsterdam',
      '2026-10-25 00:00',
      '2026-10-25 00:30',
      '2026-10-25 02:00',
      '2026-10-25 02:30',
      '2026-10-26 00:00',
    ],
    // Havana, 1 November 2026: 01:00 becomes midnight at 05:00 UTC.
    ['0 0 * * *', 'America/Havana', '2026-10-31 12:00', '2026-11-01 04:00', '2026-11-02 05:00'],
    // Lord Howe, 5 April 2026: 02:00 becomes 01:30 at 15:00 UTC.
    ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-04 00:00', '2026-04-04 14:45', '2026-04-05 15:15'],
  ],
  'runs in both passes when every hour is selected': [
    ['30 * * * *', 'Europe/Amsterdam', '2026-10-24 23:45', '2026-10-25 00:30', '2026-10-25 01:30', '2026-10-25 02:30'],
    ['30 */1 * * *', 'Europe/Amsterdam', '2026-10-24 23:45', '2026-10-25 00:30', '2026-10-25 01:30'],
    [
      '50 0-23 25 10 *',
      'Europe/Amsterdam',
      '2026-10-25 00:00',
      '2026-10-25 00:50',
      '2026-10-25 01:50',
      '2026-10-25 02:50',
    ],
    // Santiago, 5 April 2026: midnight becomes 23:00 of the 4th at 03:00 UTC; the 4th has a second hour from 23:00.
    ['30 * 4 4 *', 'America/Santiago', '2026-04-05 01:45', '2026-04-05 02:30', '2026-04-05 03:30', '2027-04-04 04:30'],
    ['30 23 4 4 *', 'America/Santiago', '2026-04-05 01:45', '2026-04-05 02:30', '2027-04-05 03:30'],
  ],
};

for (const [all, local] of [
  [cases, true],
  [changes, false],
] as const) {
  for (const [name, rows] of Object.entries(all)) {
    t.test(name, async (t) => {
      for (const [expression, zone, after, ...ticks] of rows) {
        let from: string | null = after;
        for (const tick of ticks) {
          from = await next(expression, from as string, zone, local ? zone : 'UTC');
          t.equal(from, tick === null ? null : tick.padEnd(19, ':00'), `${expression} in ${zone} after ${after}`);
        }
      }
    });
  }
}

/** The times given and returned are local ones of the zone `clock`. */
async function next(expression: string, after: string, zone: string, clock: string): Promise<string | null> {
  const [row] = await db.sql(
    `select to_char(pgmill.cron_next($1, $2::timestamp at time zone $4, $3) at time zone $4, 'YYYY-MM-DD HH24:MI:SS') as tick`,
    [expression, after, zone, clock],
  );
  return row.tick;
}

t.test('answers with a whole second strictly later than the time given', async (t) => {
  for (const [after, tick] of [
    ['2026-03-10 08:59:59.999999', '2026-03-10 09:00:00'],
    ['2026-03-10 09:00:00', '2026-03-11 09:00:00'],
    ['2026-03-10 09:00:00.000001', '2026-03-11 09:00:00'],
  ] as const) {
    t.equal(await next('0 9 * * *', after, 'UTC', 'UTC'), tick);
  }
});

t.test('takes UTC when no zone is given', async (t) => {
  const [row] = await db.sql(`select pgmill.cron_next('0 9 * * *', '2026-03-10 08:00Z') = '2026-03-10 09:00Z' as same`);
  t.ok(row.same);
});

t.test('refuses a wrong expression with PM201, and names the field', async (t) => {
  for (const [expression, message] of [
    ['', /has 0 fields, not five or six/],
    ['   ', /has 0 fields/],
    ['5', /has 1 fields/],
    ['* * * *', /has 4 fields/],
    ['* * * * * * *', /has 7 fields/],
    ['60 * * * *', /minute field .* "60"/],
    ['-1 * * * *', /minute field .* "-1"/],
    ['60 * * * * *', /second field .* "60"/],
    ['* 24 * * *', /hour field .* "24"/],
    ['* * 0 * *', /day-of-month field .* "0"/],
    ['* * 32 * *', /day-of-month field .* "32"/],
    ['* * * 0 *', /month field .* "0"/],
    ['* * * 13 *', /month field .* "13"/],
    ['* * * * 8', /day-of-week field .* "8"/],
    ['1,,2 * * * *', /minute field .* ""/],
    ['1, * * * *', /minute field .* ""/],
    ['5-1 * * * *', /minute field .* "5-1"/],
    ['1-2-3 * * * *', /minute field .* "1-2-3"/],
    ['1- * * * *', /minute field/],
    ['*/0 * * * *', /minute field .* "\*\/0"/],
    ['*/ * * * *', /minute field/],
    ['*/2/3 * * * *', /minute field/],
    ['*/-2 * * * *', /minute field/],
    ['*-5 * * * *', /minute field/],
    ['1.5 * * * *', /minute field/],
    ['99999999999 * * * *', /minute field/],
    ['a * * * *', /minute field/],
    ['L * * * *', /minute field/],
    ['* L * * *', /hour field/],
    ['H * * * *', /minute field/],
    ['* * L-3 * *', /day-of-month field/],
    ['* * 15W * *', /day-of-month field/],
    ['* * 1#2 * *', /day-of-month field/],
    ['* * 5L * *', /day-of-month field/],
    ['* * mon * *', /day-of-month field/],
    ['* * * mon *', /month field .* "mon"/],
    ['* * * january *', /month field .* "january"/],
    ['* * * * feb', /day-of-week field .* "feb"/],
    ['* * * * L', /day-of-week field .* "l"/],
    ['* * * * 8L', /day-of-week field/],
    ['* * * * *L', /day-of-week field/],
    ['* * * * 1#0', /day-of-week field/],
    ['* * * * 1#6', /day-of-week field/],
    ['* * * * 8#1', /day-of-week field/],
    ['* * * * 1#', /day-of-week field/],
    ['* * * * #1', /day-of-week field/],
    ['* * * * 1#2#3', /day-of-week field/],
    ['* * * * 1-1#2', /day-of-week field/],
    ['* * * * */2#1', /day-of-week field/],
    ['* * * * 1L/2', /day-of-week field/],
    ['* * * * sat-sun', /day-of-week field .* "sat-sun"/],
    ['@reboot', /"@reboot" is not known/],
    ['@daily *', /is not known/],
    [`${'1,'.repeat(600)}1 * * * *`, /longer than 1024/],
  ] as const) {
    await t.rejects(next(expression, '2026-03-10', 'UTC', 'UTC'), { code: 'PM201', message, hint: /./ }, expression);
  }
});

t.test('refuses with PM202 what is no name of a zone, though the server would take it', async (t) => {
  for (const zone of [
    '',
    'Europe/Nowhere',
    'europe/amsterdam',
    'UTC+2',
    'UTC2',
    'CEST',
    'EEST',
    '+02',
    'Europe/Amsterdam ',
    'Foo/Bar5',
  ]) {
    await t.rejects(
      next('@daily', '2026-03-10', zone, 'UTC'),
      { code: 'PM202', message: /time zone/, hint: /pg_timezone_names/ },
      zone,
    );
  }
});

t.test('knows every name of the server, also one that was not there when pgmill was installed', async (t) => {
  const client = await db.client();
  await client.query('begin');
  const { rows } = await client.query(`select count(*)::int as refused from pg_timezone_names z
    where pgmill.cron_next('@daily', '2026-03-10', z.name) is null`);
  t.equal(rows[0].refused, 0);
  await client.query('drop materialized view pgmill.timezone');
  await client.query(`create table pgmill.timezone as select 'UTC' as name`);
  const { rows: later } = await client.query(
    `select pgmill.cron_next('@daily', '2026-03-10', 'Europe/Amsterdam') as tick`,
  );
  t.not(later[0].tick, null);
  await client.query('rollback');
});

t.test('refuses nulls, and times that are not finite or of another age', async (t) => {
  for (const [expression, after, zone] of [
    [null, '2026-03-10', 'UTC'],
    ['@daily', null, 'UTC'],
    ['@daily', '2026-03-10', null],
    ['@daily', 'infinity', 'UTC'],
    ['@daily', '-infinity', 'UTC'],
    ['@daily', '0044-03-15 BC', 'UTC'],
    ['@daily', '12026-03-10', 'UTC'],
  ]) {
    await t.rejects(db.sql('select pgmill.cron_next($1, $2, $3)', [expression, after, zone]), {
      code: 'PM001',
      hint: /./,
    });
  }
});

t.test('says never by PM201 where a schedule is added', async (t) => {
  await t.rejects(db.sql(`select pgmill.cron_upsert('a', '0 0 30 2 *')`), {
    code: 'PM201',
    message: /never/,
    hint: /L/,
  });
  await t.rejects(db.sql(`select pgmill.cron_upsert('a', '0 0 1 1')`), { code: 'PM201' });
  await t.rejects(db.sql(`select pgmill.cron_upsert('a', '@daily', timezone => 'CEST')`), { code: 'PM202' });
  await t.resolves(db.sql(`select pgmill.cron_upsert('a', '0 0 29 2 *', timezone => 'Europe/Amsterdam')`));
});

t.test('does not depend on the settings of the session', async (t) => {
  const client = await db.client();
  await client.query(
    `set timezone = 'America/New_York'; set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set search_path = ''`,
  );
  const { rows } = await client.query(
    `select pgmill.cron_next('30 2 * * *', '2026-03-28T12:00:00Z', 'Europe/Amsterdam') = '2026-03-29T01:30:00Z' as same`,
  );
  t.ok(rows[0].same);
});
