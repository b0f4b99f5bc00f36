// cron_next against cron-parser, which shares nothing with it.
import { CronExpressionParser } from 'cron-parser';
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { expression, misspelt, moment, type Random, random } from './cron_cases.js';

const db = await testDatabase(t);
const seed = 20_261_122;
const count = 20_000;
const [from, to] = [Date.UTC(2025, 0, 1), Date.UTC(2028, 0, 1)];
const hour = 3_600_000;

/** The zones in which cron-parser can be trusted in these years. */
const zones = [
  'UTC',
  'Europe/Amsterdam',
  'Europe/London',
  'Europe/Lisbon',
  'America/New_York',
  'America/Los_Angeles',
  'America/Sao_Paulo',
  'Australia/Sydney',
  'Australia/Adelaide',
  'Pacific/Auckland',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Asia/Jerusalem',
];

const known = new Map<string, number[]>();

interface Case {
  expression: string;
  zone: string;
  after: number;
}

/** Milliseconds; null: never; an Error: refused. */
type Answer = number | null | Error;

await db.sql(`
  create function test_ticks(expression text, after timestamptz, zone text, count int) returns bigint[] language plpgsql as $$
  declare
    v_ticks bigint[];
  begin
    for n in 1..count loop
      after := pgmill.cron_next(expression, after, zone);
      v_ticks := v_ticks || (extract(epoch from after) * 1000)::bigint;
    end loop;
    return v_ticks;
  end $$`);

/** Every difference there may be, and why it is there. */
const differences: Record<string, (c: Case, ours: Answer, theirs: Answer) => boolean> = {
  // cron-parser throws where cron_next answers null: 30 February, or 31 June.
  never: (_, ours, theirs) =>
    ours === null && theirs instanceof Error && /^Invalid explicit day of month/.test(theirs.message),
  // cron-parser keeps in its object that an hour was left out or comes a second time. Asked by a time within
  // that hour it does not know, and loses the shifted ticks or repeats others. Asked for all ticks from the day before, it agrees.
  'asked within the hour after a change of the clocks': (c, ours, theirs) => {
    const change = changesOf(c.zone).find((at) => at <= c.after && c.after < at + hour);
    if (change === undefined || typeof theirs !== 'number') return false;
    const ticks = CronExpressionParser.parse(c.expression, { tz: c.zone, currentDate: new Date(change - 24 * hour) });
    for (;;) {
      const tick = ticks.next().getTime();
      if (tick > c.after) return tick === ours;
    }
  },
};

t.test(`agrees with cron-parser on ${count} random cases`, async (t) => {
  t.comment(`seed ${seed}`);
  const next = random(seed);
  const cases = Array.from({ length: count }, () => randomCase(next));
  const ours = await answers(cases);
  const found = new Map<string, number>(Object.keys(differences).map((name) => [name, 0]));
  let agreed = 0;
  cases.forEach((c, index) => {
    const mine = ours[index] as Answer;
    const theirs = cronParser(c);
    if (mine === theirs) {
      agreed++;
      return;
    }
    const [name] = Object.entries(differences).find(([, explains]) => explains(c, mine, theirs)) ?? [];
    if (name) found.set(name, (found.get(name) ?? 0) + 1);
    else
      t.fail(`${c.expression} in ${c.zone} after ${new Date(c.after).toISOString()}`, {
        ours: show(mine),
        theirs: show(theirs),
      });
  });
  t.comment(`${agreed} the same; ${[...found].map(([name, times]) => `${name}: ${times}`).join('; ')}`);
  t.ok(agreed > count * 0.99, 'the named differences are rare');
  t.notOk([...found.values()].includes(0), 'every rule is needed');
});

/** Every expression that only one of the two may accept, and why. */
const spellings: Record<string, (text: string, ours: string | null, theirs: string | null) => boolean> = {
  // cron-parser fills up missing fields from the left: `5` is every minute on Fridays.
  'too few fields': (text, ours, theirs) =>
    theirs === null && /fields, not five or six/.test(ours ?? '') && text.trim().split(/\s+/).length < 5,
  // cron-parser replaces a name wherever it stands: `1mon` is 11, `*/fri` every fifth.
  'a name stuck to something': (text, _, theirs) =>
    theirs === null && /[a-z]{4}|[\da-z][a-z]{3}|[a-z]{3}\d|\/[a-z]{3}/i.test(text),
  // cron-parser takes ?#4 for the days from the 22nd to the 28th.
  'the nth of all weekdays': (text, _, theirs) => theirs === null && /[*?]#/.test(text),
  // cron-parser refuses a day that none of the months has; cron_next answers never, and cron_upsert refuses it.
  never: (_, ours, theirs) => ours === null && /^Invalid explicit day of month/.test(theirs ?? ''),
  // cron_next reads four digits at most.
  'a long number': (text, _, theirs) => theirs === null && /\d{5}/.test(text),
  // cron-parser refuses a list that names a value twice.
  'a value twice': (_, ours, theirs) => ours === null && /duplicate values/.test(theirs ?? ''),
  // cron-parser takes @daily in lower case only and without a space.
  'a name with @': (text, ours) => ours === null && /^\s*@[a-z]+\s*$/i.test(text),
  // cron-parser takes # only alone in its field.
  'a list of nth weekdays': (text, ours, theirs) =>
    ours === null && /special characters are incompatible/.test(theirs ?? '') && /#.*,|,.*#/.test(text),
  // cron-parser takes 5L with one digit only.
  '05L': (text, ours) => ours === null && /0\dL/i.test(text),
};

t.test('accepts what cron-parser accepts', async (t) => {
  await db.sql(`
    create function test_refused(expression text) returns text language plpgsql as $$
    begin
      perform pgmill.cron_parse(expression);
      return null;
    exception when sqlstate 'PM201' then
      return sqlerrm;
    end $$`);
  const next = random(seed + 2);
  const rare = [
    '@Daily',
    '@midnight',
    '0 0 * * 1#1,1#3',
    '0 0 * * 05L',
    '0 0 * * ?#4',
    '0 0 30 2 *',
    '*/12345 * * * *',
  ];
  const texts = [...rare, ...Array.from({ length: 10_000 }, () => misspelt(next))];
  const rows = await db.sql(
    `select test_refused(e) as ours from unnest($1::text[]) with ordinality x(e, place) order by place`,
    [texts],
  );
  const found = new Map<string, number>(Object.keys(spellings).map((name) => [name, 0]));
  let refused = 0;
  texts.forEach((text, index) => {
    const { ours } = rows[index] as { ours: string | null };
    const theirs = refusal(text);
    if (ours !== null && theirs !== null) refused++;
    if ((ours === null) === (theirs === null)) return;
    const [name] = Object.entries(spellings).find(([, explains]) => explains(text, ours, theirs)) ?? [];
    if (name) found.set(name, (found.get(name) ?? 0) + 1);
    else t.fail(JSON.stringify(text), { ours, theirs });
  });
  t.comment(`${refused} refused by both; ${[...found].map(([name, times]) => `${name}: ${times}`).join('; ')}`);
  t.ok(refused > 1000, 'many are wrong');
  t.notOk([...found.values()].includes(0), 'every rule is needed');
});

function refusal(text: string): string | null {
  try {
    CronExpressionParser.parse(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

t.test('agrees with cron-parser from tick to tick over the changes of the clocks', async (t) => {
  const next = random(seed + 1);
  for (const zone of zones) {
    for (const change of changesOf(zone)) {
      const text = `${['*/7', '13,47', '0-50/25'][Math.floor(next() * 3)]} ${['*', '0-4', '1,2,3', '*/2', '22/1'][Math.floor(next() * 5)]} * * *`;
      const theirs = CronExpressionParser.parse(text, { tz: zone, currentDate: new Date(change - 12 * hour) }).take(40);
      const [row] = await db.sql('select test_ticks($1, to_timestamp($2::float8 / 1000), $3, 40) as ticks', [
        text,
        change - 12 * hour,
        zone,
      ]);
      t.same(
        row.ticks.map(Number),
        theirs.map((tick) => tick.getTime()),
        `${text} in ${zone} around ${new Date(change).toISOString()}`,
      );
    }
  }
});

function randomCase(next: Random): Case {
  const zone = zones[Math.floor(next() * zones.length)] as string;
  return { expression: expression(next), zone, after: moment(next, from, to, changesOf(zone)) };
}

/** In one query for some hundred cases. */
async function answers(cases: Case[]): Promise<Answer[]> {
  const found: Answer[] = [];
  for (let start = 0; start < cases.length; start += 500) {
    const part = cases.slice(start, start + 500);
    const rows = await db.sql<{ tick: string | null }>(
      `select (extract(epoch from pgmill.cron_next(c.expression, to_timestamp(c.after / 1000.0), c.zone)) * 1000)::bigint as tick
       from unnest($1::text[], $2::float8[], $3::text[]) with ordinality c(expression, after, zone, place)
       order by c.place`,
      [part.map((c) => c.expression), part.map((c) => c.after), part.map((c) => c.zone)],
    );
    for (const { tick } of rows) found.push(tick === null ? null : Number(tick));
  }
  return found;
}

function cronParser(c: Case): Answer {
  try {
    return CronExpressionParser.parse(c.expression, { tz: c.zone, currentDate: new Date(c.after) })
      .next()
      .getTime();
  } catch (error) {
    return error as Error;
  }
}

/** When the zone's clocks are changed in these years, as JavaScript knows it. All changes are on a full half hour. */
function changesOf(zone: string): number[] {
  let changes = known.get(zone);
  if (!changes) {
    const format = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' });
    const offset = (at: number) => format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value;
    changes = [];
    for (let day = from; day < to; day += 24 * hour) {
      if (offset(day) === offset(day + 24 * hour)) continue;
      for (let at = day; at < day + 24 * hour; at += hour / 2)
        if (offset(at) !== offset(at + hour / 2)) changes.push(at + hour / 2);
    }
    known.set(zone, changes);
  }
  return changes;
}

function show(answer: Answer): string | null {
  return typeof answer === 'number' ? new Date(answer).toISOString() : answer === null ? null : answer.message;
}
