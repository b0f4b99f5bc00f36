// Cron expressions without a database: what the client refuses, and in which words, is what the database refuses; its
// preview shows what the database would do. Then the command line.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { checkCron, parseCron } from '../../client/cron-expression.js';
import { InvalidArgumentError, InvalidCronError, previewCron } from '../../client/index.js';
import { testDatabase } from '../postgres/database.js';
import { expression, misspelt, random } from '../sql/cron_cases.js';

const db = await testDatabase(t);
const after = new Date('2026-03-27T11:59:30Z');

/** What the database says: the next times (an empty list: never), or why it refuses the expression. */
await db.sql(`
  create function test_answer(expression text, after timestamptz, zone text) returns jsonb language plpgsql as $$
  declare
    v_hint  text;
    v_times jsonb = '[]';
  begin
    for n in 1..3 loop
      after := pgmill.cron_next(expression, after, zone);
      exit when after is null;
      v_times := v_times || to_jsonb((extract(epoch from after) * 1000)::bigint);
    end loop;
    return v_times;
  exception when sqlstate 'PM201' then
    get stacked diagnostics v_hint = pg_exception_hint;
    return jsonb_build_object('message', sqlerrm, 'hint', v_hint);
  end $$`);

/** In the order in which jsonb has them. */
type Answer = number[] | { hint: string; message: string };

async function database(texts: string[], zone = 'UTC'): Promise<Answer[]> {
  const rows = await db.sql(
    'select test_answer(e, $2, $3) as answer from unnest($1::text[]) with ordinality x(e, place) order by place',
    [texts, after, zone],
  );
  return rows.map(({ answer }) => answer);
}

function client(text: string, timezone = 'UTC'): Answer {
  try {
    return previewCron(text, { after, count: 3, timezone }).map((time) => time.getTime());
  } catch (error) {
    if (!(error instanceof InvalidCronError)) throw error;
    return { hint: error.hint ?? '', message: error.message };
  }
}

/** Each field has more than one spelling that only one of cron-parser and the database would take by itself. */
const right = [
  ...[
    '* * * * *',
    '* * * * * *',
    '0 9 * * 1-5',
    '*/20 8-18/2 ? * ?',
    '5/10 0 1 1 *',
    '00 009 01 01 *',
    '*/100 8 * * *',
  ],
  ...[
    '0,0 8,8-9 * * *',
    '1,1-3,*/30 8 * * *',
    '0 0 * * 0,7',
    '0 0 * * */7',
    '0 0 * * 0-7',
    '0 0 * * 6-7',
    '0 0 * * 1/6',
  ],
  ...['  0\t9 *\n* * ', '0\u000b9 * * *', '0\f9 * * *', '0 0 1 jan *', '0 0 1 FEB-Apr/2 *', '0 0 1 jul,JUL *'],
  ...['0 0 * * MON-fri', '0 0 * * sat,Sun', '0 0 L * *', '0 0 l 2 *', '0 0 15,L * *', '0 0 l,L * *', '0 0 31,L * *'],
  ...['0 0 * * 5L', '0 0 * * friL', '0 0 * * 05l', '0 0 * * 7L', '0 0 * * 0L,7L', '0 0 * * 1L,3', '0 0 1 * 1L'],
  ...[
    '0 0 * * 1#2',
    '0 0 * * MON#2',
    '0 0 * * 0001#2',
    '0 0 * * 7#1',
    '0 0 * * 4#5',
    '0 0 * * 1#1,1#3',
    '0 0 13 * 1#1,5L,3',
  ],
  ...[
    '0 0 13 * 5',
    '0 0 13 * *,5',
    '0 0 *,13 * 5',
    '0 0 13 * ?',
    '0 0 * * *,1#1',
    '0 0 13 * 0-6',
    '0 0 29 2 *',
    '0 0 29 2 1',
  ],
  ...[
    '0 0 30 2 *',
    '0 0 30 2 ?',
    '0 0 30,31 2 *',
    '0 0 31 2,4,6,9,11 *',
    '0 0 30 2 1',
    '0 0 30 2 *,1',
    '0 0 30-31 2,3 *',
  ],
  ...['@yearly', '@annually', '@monthly', '@weekly', '@daily', ' @Midnight ', '@HOURLY'],
];

const wrong = [
  ...[
    '',
    '   ',
    '5',
    '* * * *',
    '* * * * * * *',
    '60 * * * *',
    '-1 * * * *',
    '60 * * * * *',
    '* 24 * * *',
    '* * 0 * *',
  ],
  ...['* * 32 * *', '* * * 0 *', '* * * 13 *', '* * * * 8', '1,,2 * * * *', '1, * * * *', ', * * * *', '5-1 * * * *'],
  ...[
    '1-2-3 * * * *',
    '1- * * * *',
    '-5 * * * *',
    '*/0 * * * *',
    '*/ * * * *',
    '/5 * * * *',
    '*/2/3 * * * *',
    '*/-2 * * * *',
  ],
  ...[
    '*-5 * * * *',
    '** * * * *',
    '*5 * * * *',
    '?5 * * * *',
    '1.5 * * * *',
    '1e1 * * * *',
    '0x1 * * * *',
    '+1 * * * *',
  ],
  ...['00001 * * * *', '*/12345 * * * *', '99999999999 * * * *', 'a * * * *', 'L * * * *', '* L * * *', '* * * L *'],
  ...[
    'H * * * *',
    'H/5 * * * *',
    'H(1-3) * * * *',
    '* * H * *',
    '* * LW * *',
    '* * 15W * *',
    '* * L-3 * *',
    '* * 1L * *',
  ],
  ...['* * 1#2 * *', '* * mon * *', '* * * mon *', '* * * january *', '* * * 1jan *', '* * * */feb *', '* * * * feb'],
  ...[
    '* * * * 1mon',
    '* * * * mon1',
    '* * * * monday',
    '* * * * */fri',
    '* * * * L',
    '* * * * 8L',
    '* * * * *L',
    '* * * * 1-5L',
  ],
  ...[
    '* * * * 1L/2',
    '* * * * 1LL',
    '* * * * 1#0',
    '* * * * 1#6',
    '* * * * 8#1',
    '* * * * 1#',
    '* * * * #1',
    '* * * * 1#2#3',
  ],
  ...[
    '* * * * 1#12',
    '* * * * 1-1#2',
    '* * * * */2#1',
    '* * * * ?#4',
    '* * * * *#1',
    '* * * * 1#2/3',
    '* * * * sat-sun',
  ],
  ...[
    '@reboot',
    '@every 5m',
    '@daily *',
    '@',
    '@weekdays',
    '@minutely',
    '0\u00a09 * * *',
    '0 9 * * 1\u20135',
    '\u{1f600} * * * *',
  ],
  ...[
    '0 9 * * \u212aon',
    '0 9 * \u017fep *',
    `${'1,'.repeat(600)}1 * * * *`,
    `${'1,'.repeat(507)}1 * * * *`,
    'constructor',
  ],
  ...['99 99 99 99 99 99', `${'x'.repeat(80)} * * * *`, `* * * * ${'\u{1f600}'.repeat(50)}`],
];

t.test('what the client takes and refuses, and how it says so, is what the database does', async (t) => {
  const texts = [...right, ...wrong];
  const theirs = await database(texts);
  for (const [index, text] of texts.entries()) t.strictSame(client(text), theirs[index], JSON.stringify(text));
  t.notOk(
    theirs.slice(0, right.length).some((answer) => 'message' in answer),
    'the first table is right',
  );
  const accepted = theirs.slice(right.length).flatMap((answer, index) => ('message' in answer ? [] : [wrong[index]]));
  t.strictSame(accepted, [`${'1,'.repeat(507)}1 * * * *`], 'the second is wrong, but for the longest that may be');
});

t.test('names the field that is wrong', async (t) => {
  for (const [text, message] of [
    ['60 9 * * *', /minute field .* "60"/],
    ['61 60 9 * * *', /second field .* "61"/],
    ['0 24 * * *', /hour field .* "24"/],
    ['0 9 L,32 * *', /day-of-month field .* "32"/],
    ['0 9 * 1,January *', /\bmonth field .* "january"/],
    ['0 9 * * 1-8', /day-of-week field .* "1-8"/],
    ['0 9 * *', /has 4 fields/],
  ] as const) {
    t.throws(() => parseCron(text), { name: 'InvalidCronError', code: 'PM201', message, hint: /./ }, text);
  }
});

t.test('the same for thousands of random expressions, most of them misspelt', async (t) => {
  const next = random(20_261_201);
  const texts = [
    ...Array.from({ length: 2000 }, () => expression(next)),
    ...Array.from({ length: 4000 }, () => misspelt(next)),
  ];
  const theirs = await database(texts);
  let refused = 0;
  let different = 0;
  for (const [index, text] of texts.entries()) {
    const [mine, his] = [client(text), theirs[index]];
    if ('message' in mine) refused++;
    if (JSON.stringify(mine) === JSON.stringify(his)) continue;
    if (different++ < 5) t.strictSame(mine, his, JSON.stringify(text));
  }
  t.equal(different, 0);
  t.ok(refused > 1000 && refused < 4000, `${refused} refused`);
});

t.test('previews where the clocks change', async (t) => {
  const texts = ['0 9 * * 1-5', '30 2 * * *', '*/30 * * * *', '0 0 13 * 1#1,5L,3', '0,0 2,2-3 L * *', '15 2 29 3 0#5'];
  for (const zone of [
    'Europe/Amsterdam',
    'America/New_York',
    'Asia/Kathmandu',
    'Australia/Adelaide',
    'Etc/GMT+2',
    'EST',
  ]) {
    const theirs = await database(texts, zone);
    for (const [index, text] of texts.entries()) t.strictSame(client(text, zone), theirs[index], `${text} in ${zone}`);
  }
});

t.test('refuses what never comes due where a schedule is added, as the database does', async (t) => {
  const texts = right.filter((text) => !text.startsWith('@'));
  for (const text of texts) {
    const theirs = await db
      .sql(`select pgmill.cron_upsert('x', $1)`, [text])
      .catch(({ message, hint, code }) => ({ message, hint, code }));
    let mine: unknown;
    try {
      mine = checkCron(text);
    } catch (error) {
      const { message, hint, code } = error as InvalidCronError;
      mine = { message, hint, code };
    }
    t.strictSame(mine, Array.isArray(theirs) ? undefined : theirs, text);
  }
  t.strictSame(previewCron('0 0 30 2 *'), [], 'a preview shows that there is nothing');
});

t.test('a preview has its defaults, and refuses what makes no sense', async (t) => {
  const before = Date.now();
  const times = previewCron('* * * * *');
  t.equal(times.length, 5);
  t.ok((times[0]?.getTime() ?? 0) > before && (times[0]?.getTime() ?? 0) <= before + 61_000);
  t.strictSame(previewCron('0 9 * * *', { count: 1, after, timezone: 'Asia/Tokyo' }), [
    new Date('2026-03-28T00:00:00Z'),
  ]);
  t.strictSame(previewCron('0 12 * * *', { count: 1, after: new Date('2026-03-27T12:00:00Z') }), [
    new Date('2026-03-28T12:00:00Z'),
  ]);
  t.equal(previewCron('* * * * * *', { count: 1000, after }).length, 1000);

  for (const count of [0, -1, 1001, 1.5, Number.NaN])
    t.throws(() => previewCron('@daily', { count }), InvalidArgumentError, `${count}`);
  t.throws(() => previewCron('@daily', { after: new Date('never') }), InvalidArgumentError);
  for (const anything of [undefined, null, 5, ['@daily']])
    t.throws(() => previewCron(anything as unknown as string), InvalidArgumentError);
  for (const timezone of [
    '',
    'Europe/Nowhere',
    'europe/amsterdam',
    'UTC+2',
    'CEST',
    'PST',
    'IST',
    '+02',
    '+02:00',
    'utc',
    'local',
    'Europe/Amsterdam ',
  ]) {
    t.throws(
      () => previewCron('@daily', { timezone }),
      { name: 'InvalidTimezoneError', code: 'PM202', hint: /./ },
      timezone,
    );
  }
  t.throws(() => previewCron('@daily', { timezone: 5 as unknown as string }), InvalidArgumentError);
});

t.test('previews in the zones of the database', async (t) => {
  const names = (await db.sql('select name from pg_timezone_names')).map(({ name }) => name as string);
  // Packages of operating systems add copies of the zones under other names.
  const unknown = names.filter((timezone) => {
    try {
      return previewCron('@daily', { timezone, count: 1, after }).length !== 1;
    } catch {
      return !/^(posix|right)\/|^(Factory|localtime|posixrules)$/.test(timezone);
    }
  });
  t.ok(names.length > 400);
  t.strictSame(unknown, []);
});

t.test('the command line', async (t) => {
  const at = '--after=2026-03-26T12:00:00Z';

  t.test('shows the next times, local with the offset and in UTC', async (t) => {
    const shown = await pgmill(['cron', 'next', '0 9 * * 1-5', '--tz', 'Europe/Amsterdam', '--count', '3', at]);
    t.strictSame(shown, {
      code: 0,
      stdout: `Fri 2026-03-27 09:00:00 +01:00   2026-03-27 08:00:00 UTC
Mon 2026-03-30 09:00:00 +02:00   2026-03-30 07:00:00 UTC
Tue 2026-03-31 09:00:00 +02:00   2026-03-31 07:00:00 UTC
`,
      stderr: '',
    });
    const [byDefault, seconds, now] = await Promise.all([
      pgmill(['cron', 'next', '@daily', at]),
      pgmill(['cron', 'next', '*/40 * * * * *', '--tz', 'Asia/Kathmandu', '--count', '1', at]),
      pgmill(['cron', 'next', '* * * * *', '--count', '1']),
    ]);
    t.equal(byDefault.stdout.split('\n').length, 6, 'five times');
    t.match(byDefault.stdout, 'Fri 2026-03-27 00:00:00 +00:00   2026-03-27 00:00:00 UTC\n');
    t.equal(seconds.stdout, 'Thu 2026-03-26 17:45:40 +05:45   2026-03-26 12:00:40 UTC\n');
    const time = new Date(/(\S+ \S+) UTC/.exec(now.stdout)?.[1]?.replace(' ', 'T').concat('Z') ?? '').getTime();
    t.ok(Math.abs(time - Date.now()) <= 120_000, now.stdout);
  });

  t.test('explains what is wrong with exit code 2', async (t) => {
    const lines: [string[], RegExp][] = [
      [['0 9 * * 1-8'], /The day-of-week field .* "1-8"\. Use 0 to 7/],
      [['0 9 * *'], /has 4 fields/],
      [['0 0 30 2 *'], /never comes due/],
      [['@daily', '--tz', 'Europe/Nowhere'], /time zone "Europe\/Nowhere" is not known/],
      [['@daily', '--count', 'many'], /count must be/],
      [['@daily', '--after', '2026-03-26 12:00'], /--after must be a time/],
      [['0', '9', '*', '*', '*'], /cron next takes one expression, in quotes/],
      [[], /cron next takes one expression, in quotes/],
      [['@daily', '--zone', 'UTC'], /--zone/],
    ];
    const results = await Promise.all(lines.map(([args]) => pgmill(['cron', 'next', ...args])));
    for (const [index, [args, message]] of lines.entries()) {
      t.match(results[index], { code: 2, stdout: '', stderr: message }, args.join(' '));
      t.match(results[index]?.stderr, /^pgmill: [^\n]+\nTry "pgmill --help".\n$/);
    }
    t.match(await pgmill(['cron']), { code: 2, stderr: /no such command/ });
    t.match(await pgmill(['cron', 'next', '--help']), { code: 0, stdout: /cron next "0 9 \* \* 1-5"/ });
  });
});

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** The command line as a process, with no database in its environment and in a zone of its own. */
function pgmill(args: string[]): Promise<Result> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const env = { PATH: process.env['PATH'], TZ: 'America/Sao_Paulo' };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', `${root}client/cli.ts`, ...args],
      { cwd: root, env, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr }),
    );
  });
}
