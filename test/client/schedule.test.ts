// Schedules through the client, against the real functions: what each method sends and returns, what a handler sees, and
// that they fire without the client.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Insight, JobCron, NewCron } from '../../client/index.js';
import { cleanupJob, insightsJob, PgMill } from '../../client/index.js';
import { open, until } from './worker-help.js';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const year = new Date().getUTCFullYear() + 1;
const newYear = new Date(Date.UTC(year, 0, 1));
/** Comes due once a year, so that no test runs into a tick. */
const yearly = '0 0 1 1 *';

t.test('cronUpsert', async (t) => {
  const { mill, sql } = await open(t);
  const find = async (name: string) => (await mill.findCrons()).find((cron) => cron.name === name);

  t.test('returns the next tick, and gives a schedule the defaults of the function', async (t) => {
    t.strictSame(await mill.cronUpsert('bare', { expression: yearly }), newYear);
    t.strictSame(await find('bare'), {
      name: 'bare',
      owner: 'default',
      expression: yearly,
      every: null,
      timezone: 'UTC',
      jobName: 'bare',
      queue: 'default',
      payload: {},
      priority: 4,
      maxAttempts: 3,
      timeout: null,
      retryBase: minute,
      retryMax: day,
      missed: 'once',
      overlap: false,
      paused: false,
      nextTick: newYear,
      lastTick: null,
      lastCompletedAt: null,
      lastJobId: null,
      skipped: null,
      error: null,
    });
  });

  t.test('hands every option on', async (t) => {
    const options = {
      jobName: 'work',
      payload: { a: [null, 'ü'] },
      timezone: 'Asia/Tokyo',
      queue: 'q',
      priority: 0,
      maxAttempts: 1,
      timeout: 1.5,
      owner: 'me',
      missed: 'all',
      overlap: true,
      retryBase: 0,
      retryMax: 90_000,
    } as const;
    t.strictSame(
      await mill.cronUpsert('full', { expression: yearly, ...options }),
      new Date(newYear.getTime() - 9 * hour),
    );
    t.match(await find('full'), { expression: yearly, every: null, ...options });
    await mill.cronUpsert('full', { expression: yearly, ...options, payload: null });
    t.equal((await find('full'))?.payload, null, 'here null is null');
  });

  t.test('takes milliseconds, or units that stay what they are', async (t) => {
    const every = async (value: number | object) => {
      await mill.cronUpsert('often', { every: value as number });
      return (await find('often'))?.every;
    };
    t.strictSame(await every(1000), { seconds: 1 });
    t.strictSame(await every(90_500), { minutes: 1, seconds: 30.5 });
    t.strictSame(await every(day), { hours: 24 });
    t.strictSame(await every({ days: 1 }), { days: 1 });
    t.strictSame(await every({ years: 1, months: 2, days: 40, hours: 30, minutes: 5, seconds: 6 }), {
      years: 1,
      months: 2,
      days: 40,
      hours: 30,
      minutes: 5,
      seconds: 6,
    });
    t.equal((await find('often'))?.expression, null);
  });

  t.test('an interval is due at once, an expression at its time; unchanged, both keep their tick', async (t) => {
    const first = await mill.cronUpsert('poll', { every: hour });
    t.ok(Math.abs(first.getTime() - Date.now()) < 30_000);
    await mill.tick();
    const next = new Date(first.getTime() + hour);
    t.strictSame(await mill.cronUpsert('poll', { every: hour }), next);
    t.strictSame(await mill.cronUpsert('poll', { every: { hours: 1 } }), next);
    t.match(await find('poll'), { lastTick: first, nextTick: next, lastJobId: /^\d+$/ });
    t.equal((await mill.findJobs({ name: 'poll' })).length, 1);
  });

  t.test('commits with the transaction of the caller', async (t) => {
    for (const end of ['rollback', 'commit']) {
      const tx = await mill.pool.connect();
      await tx.query('begin');
      await mill.cronUpsert('tx', { expression: yearly, tx });
      await mill.registerCronJobs([{ name: 'tx list', expression: yearly }], { owner: 'tx', tx });
      t.equal(await find('tx'), undefined);
      t.ok((await mill.findCrons({ tx })).some(({ name }) => name === 'tx'));
      await tx.query(end);
      tx.release();
      const kept = (await mill.findCrons()).filter(({ name }) => name.startsWith('tx')).length;
      t.equal(kept, end === 'commit' ? 2 : 0, end);
    }
  });

  t.test('refuses what is wrong, with an error of its own class', async (t) => {
    const before = await sql('select * from pgmill.cron order by name');
    const put = (options: object) => mill.cronUpsert('x', options as { expression: string });
    const refused: [object, { name: string; [property: string]: unknown }][] = [
      [{ expression: '0 9 * * 1-8' }, { name: 'InvalidCronError', code: 'PM201', message: /day-of-week field/ }],
      [{ expression: '0 0 30 2 *' }, { name: 'InvalidCronError', message: /never/ }],
      [
        { expression: '@daily', timezone: 'CEST' },
        { name: 'InvalidTimezoneError', code: 'PM202' },
      ],
      [
        { expression: '@daily', every: 1000 },
        { name: 'InvalidArgumentError', message: /either expression or every/ },
      ],
      [{}, { name: 'InvalidArgumentError', message: /either expression or every/ }],
      [
        { expression: '@daily', owner: 'other', jobName: '' },
        { name: 'InvalidArgumentError', message: /name/ },
      ],
      [
        { expression: '@daily', missed: 'never' },
        { name: 'InvalidArgumentError', message: /missed/ },
      ],
      [
        { expression: '@daily', overlap: 'no' },
        { name: 'InvalidArgumentError', message: /overlap must be true or false/ },
      ],
      [
        { expression: '@daily', zone: 'UTC' },
        { name: 'InvalidArgumentError', message: /no option "zone"/ },
      ],
      [{ expression: 5 }, { name: 'InvalidArgumentError', message: /expression must be a string/ }],
      [{ every: 999 }, { name: 'InvalidArgumentError', message: /every is out of range/ }],
      [{ every: -5000 }, { name: 'InvalidArgumentError', message: /every is out of range/ }],
      [{ every: Number.NaN }, { name: 'InvalidArgumentError', message: /every must be a finite number/ }],
      [{ every: { years: 11 } }, { name: 'InvalidArgumentError', message: /every is out of range/ }],
      [{ every: { years: 2_147_483_647 } }, { name: 'InvalidArgumentError' }],
    ];
    for (const [options, error] of refused) await t.rejects(put(options), error, JSON.stringify(options));
    await mill.cronUpsert('mine', { expression: yearly, owner: 'me' });
    await t.rejects(mill.cronUpsert('mine', { expression: yearly }), {
      name: 'InvalidArgumentError',
      message: /another owner/,
    });
    await mill.cronRemove('mine');
    t.strictSame(await sql('select * from pgmill.cron order by name'), before);
  });
});

t.test('expressions are checked before anything is sent', async (t) => {
  const mill = new PgMill({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
  t.teardown(() => mill.close());
  const sent = { code: 'ECONNREFUSED' };
  const wrong = { name: 'InvalidCronError', message: /minute field .* "60"/, hint: /0 to 59/ };
  await t.rejects(mill.cronUpsert('a', { expression: '60 * * * *' }), wrong);
  await t.rejects(mill.cronNext('60 * * * *', new Date()), wrong);
  await t.rejects(mill.cronUpsert('a', { expression: '5' }), { message: /has 1 fields/ });
  await t.rejects(mill.cronUpsert('a', { expression: '' }), { message: /has 0 fields/ });
  const list = [
    { name: 'good', expression: '@daily' },
    { name: 'bad one', expression: '0 60 * * * *' },
  ];
  await t.rejects(mill.registerCronJobs(list), { ...wrong, message: /^Schedule bad one: The minute field/ });
  await t.rejects(mill.cronUpsert('a', { expression: '@daily' }), sent);
  await t.rejects(mill.cronNext('0 0 30 2 *', new Date()), sent, 'cronNext says never by null');
  await t.rejects(mill.registerCronJobs(list.slice(0, 1)), sent);
});

t.test('addRecurringJob', async (t) => {
  const { mill, sql } = await open(t);
  const add = (interval: object, more: object = {}) =>
    mill.addRecurringJob('bill', { interval, ...more } as { interval: object });

  t.test('keeps months and years what they are', async (t) => {
    const first = await add({ months: 1 }, { timezone: 'Europe/Amsterdam', payload: { all: true } });
    t.ok(Math.abs(first.getTime() - Date.now()) < 30_000, 'the first at once');
    t.match(await mill.findCrons(), [{ name: 'bill', every: { months: 1 }, payload: { all: true }, owner: 'default' }]);
    await mill.tick();
    t.match(await mill.findJobs(), [{ name: 'bill', cron: 'bill', payload: { all: true } }]);
    const [ticks] = await sql(
      `select next_tick = (last_tick at time zone 'Europe/Amsterdam' + interval '1 month') at time zone 'Europe/Amsterdam' as month
       from pgmill.cron`,
    );
    t.strictSame(ticks, { month: true });

    await sql(`update pgmill.cron set last_tick = '2128-01-31 12:00Z', next_tick = '2129-01-01'`);
    t.strictSame(await add({ months: 1 }), new Date('2128-02-29T12:00:00Z'));
    t.strictSame(await add({ years: 1, seconds: 5 }), new Date('2129-01-31T12:00:05Z'));
    t.strictSame(await add({ years: 0, minutes: 90 }), new Date('2128-01-31T13:30:00Z'));
    t.strictSame((await mill.findCrons())[0]?.every, { hours: 1, minutes: 30 });
  });

  t.test('refuses what is no interval', async (t) => {
    for (const [interval, message] of [
      [{}, /at least a second/],
      [{ days: 0, hours: undefined }, /at least a second/],
      [{ hours: 1.5 }, /hours must be a whole number/],
      [{ months: -1, years: 1 }, /months must be a whole number/],
      [{ seconds: Number.NaN }, /seconds must be/],
      [{ minutes: Number.POSITIVE_INFINITY }, /minutes must be/],
      [{ days: '1' }, /days must be/],
      [{ days: 2 ** 31 }, /days must be/],
      [{ weeks: 1 }, /no unit "weeks"/],
      [{ month: 1 }, /no unit "month"/],
      [[], /at least a second/],
      [{ years: 10, seconds: 1 }, /out of range/],
      [undefined, /either expression or every/],
    ] as const) {
      await t.rejects(add(interval as object), { name: 'InvalidArgumentError', message }, JSON.stringify(interval));
    }
    await t.rejects(add({ days: 1 }, { expression: '@daily' }), { message: /either expression or every/ });
  });
});

t.test('removing, pausing, looking ahead', async (t) => {
  const { mill, sql } = await open(t);
  await mill.cronUpsert('a', { expression: yearly });
  await mill.cronUpsert('b', { expression: yearly });
  const before = (await mill.findCrons()).find(({ name }) => name === 'b');

  t.equal(await mill.cronPause('a'), true);
  t.equal(await mill.cronPause('a'), false);
  t.match(await mill.findCrons(), [{ name: 'a', paused: true, nextTick: null }, before]);
  await sql(`update pgmill.cron set next_tick = clock_timestamp() - interval '3 years' where name = 'a'`);
  await mill.tick();
  t.strictSame(await mill.findJobs(), [], 'what is paused does not fire');
  t.strictSame(await mill.cronResume('a'), newYear, 'and goes on in the future');
  t.strictSame(await mill.cronResume('a'), newYear);
  await mill.tick();
  t.strictSame(await mill.findJobs(), []);
  await t.rejects(mill.cronPause('none'), { name: 'UnknownCronError', code: 'PM203' });
  await t.rejects(mill.cronResume('none'), { name: 'UnknownCronError', code: 'PM203' });

  t.equal(await mill.cronRemove('a'), true);
  t.equal(await mill.cronRemove('a'), false);
  t.strictSame(await mill.findCrons(), [before]);

  const after = new Date('2026-03-28T12:00:00Z');
  t.strictSame(await mill.cronNext('30 2 * * *', after, 'Europe/Amsterdam'), new Date('2026-03-29T01:30:00Z'));
  t.strictSame(await mill.cronNext('30 2 * * *', after), new Date('2026-03-29T02:30:00Z'));
  t.equal(await mill.cronNext('0 0 30 2 *', after), null);
  await t.rejects(mill.cronNext('@daily', after, 'europe/amsterdam'), { name: 'InvalidTimezoneError' });
  await t.rejects(mill.cronNext('@daily', new Date('never')), { name: 'InvalidArgumentError' });
});

t.test('registerCronJobs', async (t) => {
  const { mill, sql } = await open(t);
  const names = async () => (await mill.findCrons()).map(({ name, owner }) => `${owner}: ${name}`);
  const stored = () => sql('select c.*, c.xmin::text as version from pgmill.cron c order by c.name');
  const list: NewCron[] = [
    {
      name: 'report',
      expression: yearly,
      jobName: 'work',
      payload: { n: 1 },
      timeout: 5000,
      missed: 'skip',
      overlap: true,
    },
    {
      name: 'poll',
      every: { days: 1 },
      priority: 0,
      queue: 'q',
      timezone: 'Asia/Tokyo',
      retryBase: 1,
      retryMax: 2,
      maxAttempts: 1,
    },
  ];

  t.test('makes the schedules of an owner what the list says', async (t) => {
    await mill.cronUpsert('by hand', { expression: yearly });
    await mill.registerCronJobs([{ name: 'theirs', expression: yearly }], { owner: 'theirs' });
    const registered = await mill.registerCronJobs(list, { owner: 'ours' });
    t.match(registered, [
      { name: 'poll', nextTick: Date },
      { name: 'report', nextTick: newYear },
    ]);
    t.match(await mill.findCrons(), [
      { name: 'by hand' },
      { ...list[1], retryBase: 1, every: { days: 1 } },
      { ...list[0], retryBase: minute },
      { name: 'theirs' },
    ]);
    t.strictSame(await names(), ['default: by hand', 'ours: poll', 'ours: report', 'theirs: theirs']);

    const before = await stored();
    t.strictSame(await mill.registerCronJobs(list, { owner: 'ours' }), registered);
    t.strictSame(await stored(), before, 'unchanged schedules are left alone');

    t.match(await mill.registerCronJobs([{ name: 'poll', every: { days: 2 } }], { owner: 'ours' }), [{ name: 'poll' }]);
    t.strictSame(await names(), ['default: by hand', 'ours: poll', 'theirs: theirs']);
    t.strictSame(await mill.registerCronJobs([], { owner: 'ours' }), []);
    t.strictSame(await names(), ['default: by hand', 'theirs: theirs']);
  });

  t.test('without an owner, touches nothing of cronUpsert', async (t) => {
    await mill.registerCronJobs([{ name: 'mine', expression: yearly }]);
    t.strictSame(await names(), ['default: by hand', 'registered: mine', 'theirs: theirs']);
    await mill.registerCronJobs([]);
    t.strictSame(await names(), ['default: by hand', 'theirs: theirs']);
  });

  t.test('changes all or nothing', async (t) => {
    await mill.registerCronJobs(list, { owner: 'ours' });
    const before = await stored();
    const good: NewCron = { name: 'new', expression: yearly };
    const put = (...crons: object[]) => mill.registerCronJobs([good, ...crons] as NewCron[], { owner: 'ours' });
    await t.rejects(put({ name: 'bad', expression: '0 24 * * *' }), {
      name: 'InvalidCronError',
      message: /^Schedule bad: The hour/,
    });
    await t.rejects(put({ name: 'bad', expression: '@daily', timezone: 'PST' }), {
      name: 'InvalidTimezoneError',
      message: /^Schedule bad: /,
    });
    await t.rejects(put({ name: 'bad' }), {
      name: 'InvalidArgumentError',
      message: /^Schedule bad: .*either expression or every/,
    });
    await t.rejects(put({ name: 'theirs', expression: yearly }), { message: /^Schedule theirs: .*another owner/ });
    await t.rejects(put(good), { name: 'InvalidArgumentError', message: /name twice/ });
    await t.rejects(put({ expression: yearly }), { name: 'InvalidArgumentError', message: /name is missing/ });
    await t.rejects(put({ name: 'bad', expression: yearly, owner: 'x' }), { message: /no option "owner"/ });
    await t.rejects(mill.registerCronJobs('all' as unknown as []), { message: /crons must be an array/ });
    t.strictSame(await stored(), before);
  });
});

t.test('schedules fire with no worker of ours, by a tick from anywhere', async (t) => {
  const { mill, sql } = await open(t);
  await mill.cronUpsert('yearly', {
    expression: yearly,
    jobName: 'work',
    payload: { n: 0 },
    priority: 2,
    timeout: 1234,
  });
  await mill.addRecurringJob('monthly', { interval: { months: 1 } });
  t.strictSame(await mill.findJobs(), []);
  await sql(`update pgmill.cron set next_tick = next_tick - interval '1 year' where name = 'yearly'`);
  await sql('select pgmill.tick()');
  const due = new Date(Date.UTC(year - 1, 0, 1));
  t.match(await mill.findJobs({ name: 'work' }), [
    { state: 'ready', payload: { n: 0 }, priority: 2, timeout: 1234, cron: 'yearly', cronTick: due },
  ]);
  t.match(await mill.findJobs({ name: 'monthly' }), [{ state: 'ready', cron: 'monthly', priority: 4 }]);
  await sql('select pgmill.tick()');
  t.equal((await mill.findJobs()).length, 2);

  await sql(`update pgmill.cron set next_tick = clock_timestamp() where name = 'yearly'`);
  await sql('select pgmill.tick()');
  t.match(
    (await mill.findCrons()).find(({ name }) => name === 'yearly'),
    { skipped: 'overlap', nextTick: newYear },
  );
});

t.test('a handler sees the schedule, its tick and when it last completed', async (t) => {
  const { mill, worker, sql } = await open(t);
  const seen: (JobCron | null)[] = [];
  const running = worker({
    pollInterval: 100,
    handlers: {
      beat: (_, { cron, job }) => {
        seen.push(cron);
        t.strictSame(job.cron, cron);
      },
      ordinary: (_, { cron }) => t.equal(cron, null),
    },
  });
  await running.start();
  await mill.addJob('ordinary');
  const first = await mill.cronUpsert('every second', { every: 1000, jobName: 'beat' });
  await until('the second job', () => seen.length >= 2);
  await mill.cronPause('every second');
  t.strictSame(seen[0], { name: 'every second', expression: null, tick: first, lastCompletedAt: null });
  const [done] = await sql(`select finished_at from pgmill.finished where cron_tick = $1 and cron = 'every second'`, [
    first,
  ]);
  const { tick, lastCompletedAt } = seen[1] as JobCron;
  t.ok(tick.getTime() >= first.getTime() + 1000);
  t.ok(lastCompletedAt instanceof Date);
  t.ok(Math.abs((lastCompletedAt?.getTime() ?? 0) - done.finished_at.getTime()) < 2000);
  t.ok((await mill.findCrons())[0]?.lastCompletedAt instanceof Date);

  await mill.cronUpsert('by expression', { expression: '* * * * * *', jobName: 'beat', timezone: 'Asia/Tokyo' });
  const named = await until('a job of the expression', () => seen.find((cron) => cron?.name === 'by expression'));
  t.match(named, { expression: '* * * * * *', tick: Date });
});

t.test('the ready-made jobs', async (t) => {
  const { mill, worker, sql } = await open(t);
  const old = await mill.addJobs([{ name: 'old' }, { name: 'old' }, { name: 'kept' }]);
  for (const { id } of old) await mill.cancelJob(id);
  await sql(`update pgmill.finished set finished_at = finished_at - interval '2 days' where name = 'old'`);
  const logged: Insight[][] = [];
  const lines: string[] = [];
  const original = console.log;
  t.teardown(() => {
    console.log = original;
  });
  await mill.registerCronJobs([
    { name: 'pgmill.cleanup', every: { days: 1 } },
    { name: 'pgmill.insights', every: { days: 1 } },
    { name: 'insights by line', every: { days: 1 }, jobName: 'pgmill.line' },
  ]);
  const byLine = insightsJob();
  const running = worker({
    concurrency: 1,
    handlers: {
      'pgmill.cleanup': cleanupJob({ cancelledAfter: day }),
      'pgmill.insights': insightsJob({ log: (insights) => logged.push(insights) }),
      'pgmill.line': async (payload, ctx) => {
        console.log = (line: string) => lines.push(line);
        try {
          return await byLine.handler(payload, ctx);
        } finally {
          console.log = original;
        }
      },
    },
  });
  await running.start();
  const done = await until('three completed jobs', async () => {
    const jobs = await mill.findJobs({ state: 'completed' });
    return jobs.length === 3 && jobs;
  });
  const result = (name: string) => done.find((job) => job.name === name)?.result;
  t.strictSame(result('pgmill.cleanup'), { completed: 0, failed: 0, cancelled: 2 });
  t.strictSame(
    (await mill.findJobs({ state: 'cancelled' })).map(({ name }) => name),
    ['kept'],
  );

  t.equal(logged.length, 1);
  t.match(
    logged[0]?.find(({ name }) => name === 'pgmill.insights'),
    { queue: 'default', running: 1, completed: 0 },
  );
  t.strictSame(result('pgmill.insights'), JSON.parse(JSON.stringify(logged[0])), 'and its result is the same');
  t.equal(lines.length, 1);
  t.notMatch(lines[0], '\n');
  t.strictSame(JSON.parse(lines[0] ?? ''), { 'pgmill.insights': result('pgmill.line') });
});

t.test('cleanupJob goes on while there is more than one call removes, and stops when it is told to', async (t) => {
  const answers = [100_000, 100_001, 7];
  const asked: object[] = [];
  const mill = {
    async cleanup(options: object) {
      asked.push(options);
      return [
        { state: 'completed', removed: answers.shift() ?? 0 },
        { state: 'failed', removed: 1 },
      ];
    },
  };
  const { handler } = cleanupJob({ failedAfter: 5 });
  const { signal } = new AbortController();
  t.strictSame(await handler({}, { mill, signal }), { completed: 200_008, failed: 3 });
  t.strictSame(asked, [{ failedAfter: 5 }, { failedAfter: 5 }, { failedAfter: 5 }]);

  const controller = new AbortController();
  const endless = {
    async cleanup() {
      await sleep(1);
      controller.abort();
      return [{ state: 'completed', removed: 100_000 }];
    },
  };
  t.strictSame(await handler({}, { mill: endless, signal: controller.signal }), { completed: 100_000 });
});
