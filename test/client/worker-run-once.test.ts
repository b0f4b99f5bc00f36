// runOnce: for serverless functions. It works through what there is, tells what it did, and leaves nothing behind.
import pg from 'pg';
import t from 'tap';
import { PgMill } from '../../client/index.js';
import { gate, open, until } from './worker-help.js';

const none = { claimed: 0, completed: 0, failed: 0, retried: 0, cancelled: 0, snoozed: 0, released: 0, lost: 0 };

t.test('works through what is ready, and what it adds, and counts', async (t) => {
  const { mill, states } = await open(t);
  t.strictSame(await mill.runOnce({ handlers: { job: () => {} } }), none, 'nothing to do');
  await mill.addJobs([
    ...Array.from({ length: 25 }, () => ({ name: 'job' })),
    { name: 'fails', maxAttempts: 1 },
    { name: 'retries' },
    { name: 'snoozes' },
    { name: 'adds' },
    { name: 'job', runAt: new Date(Date.now() + 3_600_000) },
    { name: 'other' },
  ]);
  const handlers = {
    job: { transactional: true as const, handler: () => {} },
    fails: () => {
      throw new Error('no');
    },
    retries: () => {
      throw new Error('not yet');
    },
    snoozes: (_payload: unknown, ctx: { snooze(ms: number): never }) => ctx.snooze(60_000),
    adds: () => mill.addJob('job'),
  };
  t.strictSame(await mill.runOnce({ handlers, concurrency: 3 }), {
    ...none,
    claimed: 30,
    completed: 27,
    failed: 1,
    retried: 1,
    snoozed: 1,
  });
  t.strictSame(await states(), { completed: 27, failed: 1, scheduled: 3, ready: 1 });
});

t.test('takes no more than `limit`, never more than `concurrency` at a time', async (t) => {
  const { mill, states } = await open(t);
  await mill.addJobs(Array.from({ length: 30 }, () => ({ name: 'job' })));
  let now = 0;
  let most = 0;
  const job = async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 2));
    now--;
  };
  const counts = await mill.runOnce({ handlers: { job }, limit: 12, concurrency: 5 });
  t.strictSame(counts, { ...none, claimed: 12, completed: 12 });
  t.strictSame(await states(), { completed: 12, ready: 18 });
  t.equal(most, 5);
});

t.test('after the deadline nothing new starts, and what has not started goes back', async (t) => {
  const { mill, states, sql } = await open(t);
  await mill.addJobs(Array.from({ length: 20 }, () => ({ name: 'job' })));
  const deadline = 1500; // enough to connect, also on a busy machine
  const end = performance.now() + deadline;
  const counts = await mill.runOnce({
    handlers: { job: () => new Promise((resolve) => setTimeout(resolve, end - performance.now() + 200)) },
    concurrency: 2,
    prefetch: 5,
    deadline,
  });
  t.ok(performance.now() >= end + 200, 'what runs may finish');
  t.strictSame(counts, { ...none, claimed: 7, completed: 2, released: 5 });
  t.strictSame(await states(), { completed: 2, ready: 18 });
  t.strictSame(await sql('select max(attempts) as most from pgmill.ready'), [{ most: 0 }]);
});

t.test('jobs that go on for longer are aborted and given back after stopTimeout', async (t) => {
  const { mill, states } = await open(t);
  await mill.addJob('job');
  let code: unknown;
  const counts = await mill.runOnce({
    handlers: {
      job: (_payload, { signal }) => {
        signal.addEventListener('abort', () => {
          code = signal.reason.code;
        });
        return new Promise(() => {});
      },
    },
    deadline: 1500,
    stopTimeout: 50,
  });
  t.strictSame(counts, { ...none, claimed: 1, released: 1 });
  t.strictSame(await states(), { ready: 1 });
  t.equal(code, 'shutdown');
});

t.test('a failed job that is due at once is run again, before it returns', async (t) => {
  const { mill, states } = await open(t);
  await mill.addJob('job', {}, { retryBase: 0, maxAttempts: 4 });
  const handlers = {
    job: (_payload: unknown, { attempt }: { attempt: number }) => {
      if (attempt < 4) throw new Error('again');
    },
  };
  t.strictSame(await mill.runOnce({ handlers }), { ...none, claimed: 4, retried: 3, completed: 1 });
  t.strictSame(await states(), { completed: 1 });
});

t.test('takes back jobs whose lease ran out', async (t) => {
  const { mill, sql } = await open(t);
  await mill.addJob('job', {}, { retryBase: 0 });
  await mill.getJob({ worker: 'dead' });
  await sql(`update pgmill.running set lease_until = clock_timestamp() - interval '1 second'`);
  t.match(await mill.runOnce({ handlers: { job: () => {} } }), { completed: 1 });
});

t.test('renews leases while it runs', async (t) => {
  const { mill, sql } = await open(t);
  await mill.addJob('job');
  const end = gate();
  const counts = mill.runOnce({ handlers: { job: () => end.opened }, lease: 300 });
  await until('a lease has gone by', async () => {
    const [row] = await sql(
      `select bool_or(claimed_at + interval '1 second' < clock_timestamp()) as past from pgmill.running`,
    );
    return row.past;
  });
  t.equal(await mill.reclaim(), 0);
  end.open();
  t.match(await counts, { completed: 1 });
});

t.test('leaves no connection and no timer behind', async (t) => {
  const { url, sql } = await open(t);
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const mill = new PgMill({ pool });
  await mill.addJobs([{ name: 'job' }, { name: 'tx' }]);
  const handlers = { job: () => {}, tx: { transactional: true as const, handler: () => {} } };
  t.match(await mill.runOnce({ handlers, deadline: 60_000 }), { completed: 2 });
  await pool.end();
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
  t.ok(timers.length <= 2, `${timers.length} timers: those of tap and of the test’s own pool`);
  await until('the connections are gone', async () => {
    const rows = await sql(
      `select from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    return rows.length === 0;
  });
});

t.test('an error of the database ends it', async (t) => {
  const { mill, sql } = await open(t);
  await sql('alter function pgmill.get_jobs rename to get_jobs_away');
  await t.rejects(mill.runOnce({ handlers: { job: () => {} } }), { code: '42883' });
});
