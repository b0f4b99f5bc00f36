// The worker: it runs what is there, as many at a time as it may, and stops.
import t from 'tap';
import { InvalidArgumentError, type LeasedJob, PgMill } from '../../client/index.js';
import type { JobContext } from '../../client/worker/index.js';
import { gate, next, open, until } from './worker-help.js';

t.test('runs jobs and stores what their handlers return', async (t) => {
  const { mill, worker } = await open(t);
  const one = await mill.addJob('double', { n: 21 });
  const two = await mill.addJob('nothing');
  const three = await mill.addJob('sync', { n: 4 });
  const seen: unknown[] = [];
  const w = worker({
    handlers: {
      double: async (payload: { n: number }, ctx) => {
        seen.push([ctx.id, ctx.attempt, ctx.job.name, ctx.cron, ctx.mill === mill]);
        return { n: payload.n * 2 };
      },
      nothing: async () => {},
      sync: (payload: { n: number }) => payload.n,
    },
  });
  await w.start();
  await until('all are completed', async () => (await mill.findJobs({ state: 'completed' })).length === 3);
  t.strictSame((await mill.findJob(one))?.result, { n: 42 });
  t.equal((await mill.findJob(two))?.result, null);
  t.equal((await mill.findJob(three))?.result, 4);
  t.equal((await mill.findJob(one))?.worker, w.id);
  t.strictSame(seen, [[one, 1, 'double', null, true]]);
});

t.test('ctx.job is the job as getJobs returns it', async (t) => {
  const { mill, worker, sql } = await open(t);
  const all = { priority: 2, runAt: new Date(Date.now() - 5000), maxAttempts: 7, timeout: 1234.5 };
  const payload = { 'ä "quoted"': [null, 1.5, '💥'] };
  const ids = [await mill.addJob('plain', null), await mill.addJob('full', payload, all)];
  await mill.cronUpsert('often', { jobName: 'ticks', every: 60_000 });
  await sql(`update pgmill.cron set next_tick = now() - interval '1 second'`);
  await mill.tick();
  const seen = new Map<string, LeasedJob>();
  const note = (given: unknown, ctx: JobContext): never => {
    seen.set(ctx.job.name, ctx.job);
    t.equal(ctx.job.payload, given);
    t.strictSame([ctx.id, ctx.attempt, ctx.cron], [ctx.job.id, ctx.job.attempt, ctx.job.cron]);
    return ctx.snooze(-1);
  };
  const w = worker({ handlers: { plain: note, full: note, ticks: note }, concurrency: 3 });
  const before = Date.now();
  await w.start();
  await until('all have run', () => seen.size === 3);
  await w.stop();
  const jobs = await mill.getJobs({ worker: 'by hand', maxJobs: 10 });
  t.equal(jobs.length, 3);
  for (const job of jobs) {
    const had = seen.get(job.name) as LeasedJob;
    t.strictSame(
      Object.entries(had).map(([name, value]) => [name, typeof value]),
      Object.entries(job).map(([name, value]) => [name, typeof value]),
    );
    const { token, leaseUntil, runAt, ...rest } = job;
    t.match(had, rest);
    t.ok(had.leaseUntil.getTime() > before + 29_000 && had.leaseUntil.getTime() < before + 60_000);
    t.ok(had.runAt < runAt, 'it was snoozed since');
    t.match(had.token, /^[\da-f-]{36}$/);
  }
  t.equal(seen.get('plain')?.id, ids[0]);
  t.match(seen.get('full'), { id: ids[1], payload, ...all });
  t.ok(seen.get('ticks')?.cron?.tick instanceof Date);
});

t.test('goes by priority, then run_at, then id; a job added later with a lower number goes first', async (t) => {
  const { mill, worker, sql } = await open(t);
  const names: string[] = [];
  const started = gate();
  const go = gate();
  const handlers = {
    first: async () => {
      started.open();
      await go.opened;
    },
    job: async ({ name }: { name: string }) => void names.push(name),
  };
  await mill.addJob('first');
  const w = worker({ handlers, concurrency: 1, prefetch: 0 });
  await w.start();
  await started.opened;
  await mill.addJob('job', { name: 'c' }, { priority: 7 });
  await mill.addJob('job', { name: 'd' }, { priority: 7 });
  const early = await mill.addJob('job', { name: 'b' }, { priority: 7 });
  await sql(`update pgmill.ready set run_at = run_at - interval '1 hour' where id = $1`, [early]);
  await mill.addJob('job', { name: 'a' }, { priority: 6 });
  go.open();
  await until('all have run', () => names.length === 4);
  t.equal(names.join(''), 'abcd');
});

t.test('never runs more than `concurrency`, whatever is prefetched', async (t) => {
  const { mill, worker, states, sql } = await open(t);
  for (const [concurrency, prefetch] of [
    [3, undefined],
    [3, 10],
    [3, 0],
    [1, 0],
  ] as const) {
    await mill.addJobs(Array.from({ length: 200 }, () => ({ name: 'count' })));
    let now = 0;
    let most = 0;
    let held = 0;
    const ended = new Set<string>();
    const w = worker({
      concurrency,
      ...(prefetch !== undefined && { prefetch }),
      handlers: {
        count: async (_payload, { attempt, id }) => {
          most = Math.max(most, ++now);
          if (now === concurrency && held < 5) {
            const rows = await sql('select id from pgmill.running');
            held = Math.max(held, rows.filter(({ id }) => !ended.has(id)).length);
          }
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
          now--;
          ended.add(id); // the database need not know yet
          return attempt;
        },
      },
    });
    await w.start();
    await until('all are completed', async () => (await states())['completed'] === 200);
    t.equal(most, concurrency, `concurrency ${concurrency}, prefetch ${prefetch}`);
    if (concurrency === 1 && prefetch === 0) t.equal(held, 1, 'one job is held at a time');
    await w.stop();
    await sql('delete from pgmill.finished');
  }
});

t.test('starting twice is starting once, stopping twice is stopping once, and it can start again', async (t) => {
  const { mill, worker, sql, pool } = await open(t);
  let now = 0;
  let most = 0;
  let ran = 0;
  const handlers = {
    job: async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 20));
      now--;
      ran++;
    },
  };
  const w = worker({ handlers, concurrency: 1 });
  await mill.addJobs(Array.from({ length: 10 }, () => ({ name: 'job' })));
  const first = w.start();
  await Promise.all([first, w.start(), w.start()]);
  await w.start();
  await until('all have run', () => ran === 10);
  t.equal(most, 1);
  await Promise.all([w.stop(), w.stop()]);
  await w.stop();

  const again = w.start();
  const stopped = w.stop();
  const oneMore = w.start();
  await Promise.all([again, stopped, oneMore]);
  await mill.addJobs(Array.from({ length: 3 }, () => ({ name: 'job' })));
  await until('the others have run', () => ran === 13);
  t.equal(most, 1);
  await w.stop();
  await mill.addJob('job');
  await until('no connection is left but those of the pool', async () => {
    const [row] = await sql(
      "select count(*)::int as n from pg_stat_activity where datname = current_database() and backend_type = 'client backend'",
    );
    return row.n === pool.totalCount;
  });
  t.equal(ran, 13, 'and nothing runs any more');
});

t.test('stops within 100 ms when idle', async (t) => {
  const { worker } = await open(t);
  const w = worker({ handlers: { job: () => {} }, pollInterval: 60_000 });
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await w.start();
    if (round > 0) await next(w, 'idle');
    const start = performance.now();
    await w.stop();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  // The middle one: the machine may be busy with other tests.
  t.ok((times[2] as number) < 100, `${times.map(Math.round)} ms`);
});

t.test('stopping before it has started, and without ever starting, does nothing', async (t) => {
  const { mill, worker, state } = await open(t);
  const id = await mill.addJob('job');
  const w = worker({ handlers: { job: () => {} } });
  await w.stop();
  const started = w.start();
  await w.stop();
  await started;
  t.equal(await state(id), 'ready');
});

t.test('takes only jobs that it has handlers for', async (t) => {
  const { mill, worker, states, state } = await open(t);
  const a = await mill.addJob('a');
  const b = await mill.addJob('b');
  const c = await mill.addJob('c');
  const d = await mill.addJob('a', {}, { queue: 'other' });
  const handlers = { a: () => {}, b: () => {} };
  const run = async (options: object) => {
    const w = worker({ handlers, ...options });
    const idle = next(w, 'idle');
    await w.start();
    await idle;
    await w.stop();
  };

  await run({ names: ['b'] });
  t.strictSame([await state(a), await state(b), await state(c)], ['ready', 'completed', 'ready'], 'names narrows it');
  await run({ exceptNames: ['a'] });
  t.equal(await state(a), 'ready', 'exceptNames too');
  await run({});
  t.strictSame([await state(a), await state(c), await state(d)], ['completed', 'ready', 'ready']);
  await run({ queues: ['other', 'third'] });
  t.equal(await state(d), 'completed', 'queues');
  const names: string[] = [];
  await run({ handlers: { '*': (_: unknown, ctx: { job: { name: string } }) => void names.push(ctx.job.name) } });
  t.strictSame(names, ['c'], 'a handler for everything is explicit');
  t.strictSame(await states(), { completed: 4 });

  await mill.addJobs([{ name: 'd' }, { name: 'e' }]);
  await run({ handlers: { '*': () => {} }, exceptNames: ['d'] });
  t.strictSame(await states(), { completed: 5, ready: 1 });
});

t.test('forgets completed jobs with keep: false, of the worker or of one handler', async (t) => {
  const { mill, worker, states } = await open(t);
  await mill.addJobs([{ name: 'kept' }, { name: 'forgotten' }, { name: 'failed', maxAttempts: 1 }]);
  const w = worker({
    keep: false,
    handlers: {
      kept: { handler: () => {}, keep: true },
      forgotten: () => 'x',
      failed: () => {
        throw new Error('no');
      },
    },
  });
  await w.start();
  await until('the three have ended', async () => {
    const now = await states();
    return !now['ready'] && !now['running'] && now;
  });
  t.strictSame(await states(), { completed: 1, failed: 1 });
});

t.test('tells what happens, after the database has confirmed it', async (t) => {
  const { mill, worker, sql } = await open(t);
  const id = await mill.addJob('good');
  const bad = await mill.addJob('bad', {}, { maxAttempts: 1, priority: 9 });
  const log: unknown[][] = [];
  const w = worker({
    concurrency: 1,
    prefetch: 0,
    handlers: {
      good: () => 7,
      bad: () => {
        throw new Error('boom');
      },
    },
  });
  const error = t.capture(console, 'error');
  w.on('job:start', (job) => log.push(['start', job.id]));
  w.on('job:complete', (job, result) => {
    log.push(['complete', job.id, result]);
    throw new Error('a listener that throws');
  });
  w.on('job:fail', (job, failure) => log.push(['fail', job.id, (failure.error as Error).message, failure.state]));
  await w.start();
  await until('both have ended', () => log.length === 4);
  const of = (job: string) => log.filter(([, each]) => each === job).map(([what, , ...more]) => [what, ...more]);
  t.strictSame(of(id), [['start'], ['complete', 7]]);
  t.strictSame(of(bad), [['start'], ['fail', 'boom', 'failed']]);
  t.equal(error().length, 1, 'what a listener throws is logged and harms nobody');
  t.equal((await sql('select count(*)::int as n from pgmill.running'))[0].n, 0);
});

t.test('an error that nobody listens for is logged once and does not end the process', async (t) => {
  const { mill, worker, sql } = await open(t);
  const lines: unknown[][] = [];
  const logger = { error: (...line: unknown[]) => void lines.push(line), warn: () => {} };
  const errors: unknown[] = [];
  await sql('alter function pgmill.get_jobs rename to get_jobs_away');
  const silent = worker({ handlers: { job: () => {} }, logger });
  const loud = worker({ handlers: { job: () => {} }, logger });
  loud.on('error', (error) => errors.push(error));
  const started = Promise.all([silent.start(), loud.start()]);
  await until('several errors', () => errors.length >= 3);
  t.equal(lines.length, 1);
  await sql('alter function pgmill.get_jobs_away rename to get_jobs');
  await started;
  await mill.addJob('job');
  await until('it goes on', async () => (await mill.findJobs({ state: 'completed' })).length === 1);
});

t.test('refuses options that make no sense', async (t) => {
  const mill = new PgMill({ connectionString: 'postgres://localhost/nowhere' });
  const handlers = { job: () => {} };
  const wrong: object[] = [
    {},
    { handlers: null },
    { handlers: {} },
    { handlers: { job: 'no function' } },
    { handlers: { job: {} } },
    { handlers: { job: { handler: () => {}, timeout: 0 } } },
    { handlers: { job: { handler: () => {}, retry: { base: -1 } } } },
    { handlers: { job: { handler: () => {}, retries: 3 } } },
    { handlers, names: ['job'], exceptNames: ['other'] },
    { handlers, names: ['other'] },
    { handlers, names: [] },
    { handlers, exceptNames: ['job'] },
    { handlers, queues: [] },
    { handlers, queues: [''] },
    { handlers, concurrency: 0 },
    { handlers, concurrency: 1.5 },
    { handlers, concurrency: '5' },
    { handlers, prefetch: -1 },
    { handlers, pollInterval: Number.NaN },
    { handlers, timeout: 0 },
    { handlers, lease: 1 },
    { handlers, stopTimeout: -1 },
    { handlers, workerId: '' },
    { handlers, concurency: 5 },
  ];
  for (const options of wrong) {
    t.throws(() => mill.worker(options as never), InvalidArgumentError, JSON.stringify(options));
  }
  t.throws(() => mill.worker({ handlers, limit: 5 } as never), InvalidArgumentError, 'an option of runOnce');
});

t.test('ticks follow each other closely for a while when the ring was turned', async (t) => {
  const { worker, sql } = await open(t);
  await sql(`
    create table ticks (at timestamptz default clock_timestamp());
    create or replace function pgmill.tick() returns table (task text, changed bigint) language plpgsql as $$
    begin
      insert into public.ticks default values;
      return query select 'ring', 1::bigint where (select count(*) from public.ticks) = 1;
    end $$`);
  await worker({ handlers: { job: () => {} } }).start();
  await until('seven ticks', async () => (await sql('select from ticks')).length >= 7);
  const [row] = await sql(`
    select count(*)::int as close
    from (select at - lag(at) over (order by at) as gap from ticks order by at limit 7) t
    where gap < '0.6 seconds'`);
  t.ok((row?.['close'] ?? 0) >= 4, `${row?.['close']} of 6 came at once; otherwise they are 0.8 seconds apart or more`);
});
