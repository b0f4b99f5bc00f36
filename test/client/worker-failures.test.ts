// What becomes of jobs whose handlers fail, take too long, or are asked to stop.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { FinalError, SnoozeError } from '../../client/worker/index.js';
import { asleep, gate, next, open, until } from './worker-help.js';

t.test('a failed job comes back by its own backoff, or by that of its handler', async (t) => {
  const { mill, worker, sql } = await open(t);
  const own = await mill.addJob('own', {}, { retryBase: 10_000 });
  const handlers_ = await mill.addJob('handlers', {}, { retryBase: 10_000 });
  const capped = await mill.addJob('capped');
  const boom = () => {
    throw new TypeError('boom');
  };
  const w = worker({
    handlers: {
      own: boom,
      handlers: { handler: async () => boom(), retry: { base: 50_000 } },
      capped: { handler: boom, retry: { base: 50_000, max: 30_000 } },
    },
  });
  let failures = 0;
  w.on('job:fail', (_job, { state, runAt, reason }) => {
    t.strictSame([state, reason, runAt instanceof Date], ['scheduled', 'error', true]);
    failures++;
  });
  await w.start();
  await until('all have failed', () => failures === 3);
  const delay = async (id: string) => {
    const query = `select extract(epoch from run_at - (errors -> -1 ->> 'at')::timestamptz)::float8 as s from pgmill.waiting where id = $1`;
    return (await sql(query, [id]))[0].s as number;
  };
  const between = (value: number, least: number, most: number) => t.ok(value >= least && value <= most, `${value} s`);
  between(await delay(own), 19.1, 20.9);
  between(await delay(handlers_), 95.9, 104.1);
  between(await delay(capped), 28.7, 30.1);
  const job = await mill.findJob(own);
  t.match(job?.errors, [{ attempt: 1, reason: 'error', message: /^TypeError: boom\n +at /, worker: w.id }]);
});

t.test('is retried within the same worker until its attempts are used up, with any kind of error', async (t) => {
  const { mill, worker, state } = await open(t);
  const id = await mill.addJob('job', {}, { retryBase: 0, maxAttempts: 4 });
  const thrown = ['a string\0', { code: 5 }, undefined, null];
  const w = worker({
    handlers: {
      job: async (_payload, { attempt }) => {
        throw thrown[attempt - 1];
      },
    },
  });
  await w.start();
  await until('it has failed for good', async () => (await state(id)) === 'failed');
  const job = await mill.findJob(id);
  t.match(
    job?.errors.map(({ message }) => message),
    ['a string�', '{ code: 5 }', 'undefined', 'null'],
  );
});

t.test('ends at once by FinalError, ctx.fail or `final: true`', async (t) => {
  const { mill, worker, sql } = await open(t);
  await mill.addJobs([{ name: 'error' }, { name: 'fail' }, { name: 'property' }]);
  const w = worker({
    handlers: {
      error: () => {
        throw new FinalError('no use');
      },
      fail: async (_payload, ctx) => ctx.fail('no use'),
      property: () => {
        throw Object.assign(new Error('no use'), { final: true });
      },
    },
  });
  await w.start();
  const failed = await until('all have failed', async () => {
    const rows = await sql(`select name, attempts from pgmill.job where state = 'failed' order by name`);
    return rows.length === 3 && rows;
  });
  t.strictSame(
    failed.map(({ attempts }) => attempts),
    [1, 1, 1],
  );
});

t.test('comes back later by SnoozeError or ctx.snooze, and the attempt is not charged', async (t) => {
  const { mill, worker, sql } = await open(t);
  const at = new Date(Date.now() + 3_600_000);
  const date = await mill.addJob('date');
  const ms = await mill.addJob('ms');
  const w = worker({
    handlers: {
      date: () => {
        throw new SnoozeError(at);
      },
      ms: async (_payload, ctx) => ctx.snooze(60_000),
    },
  });
  let snoozed = 0;
  w.on('job:snooze', () => snoozed++);
  await w.start();
  await until('both sleep', () => snoozed === 2);
  t.strictSame((await mill.findJob(date))?.runAt, at);
  const [row] = await sql(
    'select attempts, extract(epoch from run_at - clock_timestamp()) as s from pgmill.waiting where id = $1',
    [ms],
  );
  t.equal(row.attempts, 0);
  t.ok(row.s > 50 && row.s <= 60, `${row.s} s from now by the database's clock`);
});

t.test('a result that cannot be stored fails its own job and no other', async (t) => {
  const { mill, worker, state } = await open(t);
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const results: Record<string, unknown> = {
    cycle,
    nul: 'a\0b',
    big: 5n,
    huge: 'x'.repeat(2_000_000),
  };
  const ids = await mill.addJobs([
    ...Object.keys(results).map((name) => ({ name: 'bad', payload: { name }, maxAttempts: 1 })),
    ...Array.from({ length: 20 }, () => ({ name: 'good' })),
  ]);
  const w = worker({
    concurrency: 50,
    handlers: { bad: ({ name }: { name: string }) => results[name], good: () => ({ fine: true }) },
  });
  await w.start();
  await until('all have ended', async () => (await mill.findJobs({ state: 'completed' })).length === 20);
  for (const { id } of ids.slice(0, 4)) {
    await until('it has failed', async () => (await state(id)) === 'failed');
    t.match((await mill.findJob(id))?.errors[0]?.message, /^InvalidArgumentError: /);
  }
});

t.test(
  'a handler that ignores its timeout: recorded at once, its slot stays taken, its completion is refused',
  async (t) => {
    const { mill, worker, state } = await open(t);
    const id = await mill.addJob('slow', {}, { timeout: 100, retryBase: 3_600_000 });
    const end = gate();
    let signal: AbortSignal | undefined;
    let now = 0;
    let most = 0;
    const w = worker({
      concurrency: 1,
      handlers: {
        slow: async (_payload, ctx) => {
          most = Math.max(most, ++now);
          signal = ctx.signal;
          await end.opened;
          now--;
          return 'too late';
        },
        next: () => {
          most = Math.max(most, now + 1);
        },
      },
    });
    const failed = next(w, 'job:fail');
    const completed: string[] = [];
    w.on('job:complete', (job) => completed.push(job.name));
    w.on('lease:lost', (job) => completed.push(`${job.name}, refused`));
    const start = performance.now();
    await w.start();
    const [, failure] = await failed;
    t.match(failure, { reason: 'timeout', state: 'scheduled' });
    const took = performance.now() - start;
    t.ok(took >= 100 && took < 5000, `${took} ms`);
    t.match((await mill.findJob(id))?.errors, [{ reason: 'timeout', message: 'The job ran out of time (100 ms).' }]);
    t.match([signal?.aborted, signal?.reason.code], [true, 'timeout']);

    const follower = await mill.addJob('next');
    await mill.tick();
    t.equal(await state(follower), 'ready', 'nothing starts while the handler still runs');
    end.open();
    await until('the next one has run', () => completed.length > 0);
    t.equal(most, 1);
    t.strictSame(completed, ['next'], 'a late completion is not even sent');
    t.equal(await state(follower), 'completed');
    t.equal(await state(id), 'scheduled', 'what the handler returned in the end changed nothing');
  },
);

t.test('the timeout of the job counts, then that of the handler, then that of the worker', async (t) => {
  const { mill, worker } = await open(t);
  const forEver = (_payload: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await mill.addJob('handler', { says: 70 }, { timeout: 70, maxAttempts: 1 });
  await mill.addJob('handler', { says: 90 }, { maxAttempts: 1 });
  await mill.addJob('worker', { says: 110 }, { maxAttempts: 1 });
  const w = worker({ timeout: 110, handlers: { handler: { handler: forEver, timeout: 90 }, worker: forEver } });
  await w.start();
  const failed = await until('all have failed', async () => {
    const jobs = await mill.findJobs({ state: 'failed' });
    return jobs.length === 3 && jobs;
  });
  for (const { payload, errors } of failed) {
    t.equal(errors[0]?.message, `The job ran out of time (${(payload as { says: number }).says} ms).`);
    t.equal(errors.length, 1);
  }
});

t.test('ctx.extend gives a job more time', async (t) => {
  const { mill, worker, state } = await open(t);
  const id = await mill.addJob('job', {}, { maxAttempts: 1 });
  const w = worker({
    timeout: 150,
    handlers: {
      job: async (_payload, ctx) => {
        ctx.extend(60_000);
        await sleep(400);
        return ctx.signal.aborted;
      },
    },
  });
  await w.start();
  await until('it is completed', async () => (await state(id)) === 'completed');
  t.equal((await mill.findJob(id))?.result, false);
});

t.test('a running job is cancelled through its signal', async (t) => {
  const { mill, worker, state } = await open(t);
  const started = gate();
  const w = worker({
    lease: 60_000, // so that no heartbeat comes by itself
    handlers: {
      job: async (_payload, { signal }) => {
        started.open();
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      stubborn: async (_payload, { signal }) => {
        started.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return signal.reason.code;
      },
    },
  });
  await w.start();
  const polite = await mill.addJob('job');
  await started.opened;
  const cancelled = next(w, 'job:cancel');
  t.equal(await mill.cancelJob(polite), true);
  t.match(await cancelled, [{ id: polite }]);
  t.equal(await state(polite), 'cancelled');
  t.equal(await mill.cancelJob(polite), false);

  const stubborn = await mill.addJob('stubborn');
  await until('it runs', async () => (await state(stubborn)) === 'running');
  await mill.cancelJob(stubborn);
  await until('it went on to its end', async () => (await state(stubborn)) === 'completed');
  t.equal((await mill.findJob(stubborn))?.result, 'cancelled');
});

t.test('leases are renewed while jobs run, and only their own', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  const end = gate();
  const w = worker({ concurrency: 1, prefetch: 2, lease: 600, handlers: { job: () => end.opened } });
  const ids = (await mill.addJobs([{ name: 'job' }, { name: 'job' }, { name: 'job' }])).map(({ id }) => id);
  await w.start();
  await until('all are held', async () => (await sql('select count(*)::int as n from pgmill.running'))[0].n === 3);
  const [before] = await sql('select min(lease_until) as until, max(claimed_at) as claimed from pgmill.running');
  await until('two leases have gone by', async () => {
    const [row] = await sql(`select clock_timestamp() > $1::timestamptz + interval '1.3 seconds' as past`, [
      before.claimed,
    ]);
    return row.past;
  });
  const [after] = await sql(
    'select count(*)::int as n, min(lease_until) > clock_timestamp() as ours from pgmill.running',
  );
  t.strictSame(after, { n: 3, ours: true }, 'those prefetched too');
  t.equal(await mill.reclaim(), 0);
  end.open();
  await until('all are completed', async () => (await Promise.all(ids.map(state))).every((s) => s === 'completed'));
  t.ok((await mill.findJobs({})).every(({ attempts }) => attempts === 1));
});

t.test('a job whose lease is lost is told so, and what its handler makes of it changes nothing', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  const id = await mill.addJob('job', {}, { retryBase: 3_600_000 });
  const signals: AbortSignal[] = [];
  const end = gate();
  const w = worker({
    lease: 300,
    handlers: {
      job: async (_payload, { signal }) => {
        signals.push(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await end.opened;
        return 'mine';
      },
    },
  });
  const lost = next(w, 'lease:lost');
  await w.start();
  await until('it runs', () => signals.length === 1);
  await sql(`update pgmill.running set token = gen_random_uuid() where id = $1`, [id]);
  t.match(await lost, [{ id }]);
  t.equal(signals[0]?.reason.code, 'lease_lost');
  end.open();
  await w.stop();
  t.equal(await state(id), 'running', 'it is someone else’s');
});

t.test('jobs whose rows somebody holds in a transaction do not hold up the others', async (t) => {
  const { mill, worker, sql, client, state } = await open(t);
  const end = gate();
  const runs: string[] = [];
  const lost: string[] = [];
  const w = worker({
    lease: 1500,
    handlers: {
      ended: () => end.opened,
      runs: () => sleep(4500),
      other: () => sleep(5000),
      job: () => {},
    },
  });
  w.on('error', () => {}); // it has to wait for a lock
  w.on('lease:lost', ({ name }) => lost.push(name));
  w.on('job:start', ({ name }) => runs.push(name));
  await w.start();
  await asleep(sql); // it knows by then that the session is its own
  const names = ['ended', 'runs', 'other'];
  const ids = (await mill.addJobs(names.map((name) => ({ name })))).map(({ id }) => id);
  await until('all three run', () => runs.length === 3);
  const holder = await client();
  await holder.query('begin');
  await holder.query(
    `update pgmill.running set lease_until = clock_timestamp() + interval '1 hour' where name in ('ended', 'runs')`,
  );
  end.open(); // one completion has to wait now, and the heartbeats of the other too
  const since = performance.now();
  while (performance.now() - since < 4000) {
    const id = await mill.addJob('job');
    await until('another job is completed', async () => (await state(id)) === 'completed', 6000);
    await mill.reclaim();
  }
  t.strictSame(await Promise.all(ids.slice(0, 2).map(state)), ['running', 'running']);
  await holder.query('commit');
  await until('all are completed', async () => (await Promise.all(ids.map(state))).every((s) => s === 'completed'));
  t.strictSame(lost, []);
});

t.test('no connection is idle in transaction while an ordinary handler runs', async (t) => {
  const { mill, worker, sql } = await open(t);
  const started = gate();
  const end = gate();
  const w = worker({
    handlers: {
      job: async () => {
        started.open();
        await end.opened;
      },
    },
  });
  await w.start();
  await mill.addJob('job');
  await started.opened;
  const [row] = await sql(
    `select count(*)::int as n, count(*) filter (where xact_start is not null and pid <> pg_backend_pid() and state <> 'active')::int as open
     from pg_stat_activity where datname = current_database() and backend_type = 'client backend'`,
  );
  t.equal(row.open, 0);
  t.ok(row.n >= 3, 'the worker’s connections are among them');
  end.open();
});
