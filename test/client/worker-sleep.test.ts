// How an idle worker finds work: told of it, on time for scheduled jobs, and at the latest by polling.
import pg from 'pg';
import t from 'tap';
import { PgMill } from '../../client/index.js';
import { asleep, gate, next, open, until, wakeLocks } from './worker-help.js';

const longPoll = 600_000;

t.test('a scheduled job is claimed when it is due, with no fixed tick in between', async (t) => {
  const { mill, worker, sql } = await open(t);
  const w = worker({ handlers: { job: () => {} }, pollInterval: longPoll });
  await w.start();
  await asleep(sql);
  // At times that no tick fits, told to a worker that sleeps already; and one that is due far away.
  await mill.addJob('job', {}, { runAt: new Date(Date.now() + 3_600_000) });
  const count = 12;
  await sql(
    `select pgmill.add_job('job', run_at => clock_timestamp() + make_interval(secs => 0.4 + 0.137 * i)) from generate_series(1, ${count}) i`,
  );
  const late = await until('all have run', async () => {
    const rows = await sql(
      `select extract(epoch from claimed_at - run_at)::float8 * 1000 as ms from pgmill.finished order by 1`,
    );
    return rows.length === count && rows.map(({ ms }) => ms as number);
  });
  t.ok((late[0] as number) >= 0, 'none before it was due');
  t.ok((late[count / 2] as number) < 50, `${late.map(Math.round)} ms late`);
});

t.test('the same without notifications, for jobs that it knows of', async (t) => {
  const { worker, sql } = await open(t);
  const count = 6;
  await sql(
    `select pgmill.add_job('job', run_at => clock_timestamp() + make_interval(secs => 0.4 + 0.137 * i)) from generate_series(1, ${count}) i`,
  );
  const w = worker({ handlers: { job: () => {} }, pollInterval: longPoll, listen: false });
  await w.start();
  const late = await until('all have run', async () => {
    const rows = await sql(
      `select extract(epoch from claimed_at - run_at)::float8 * 1000 as ms from pgmill.finished order by 1`,
    );
    return rows.length === count && rows.map(({ ms }) => ms as number);
  });
  t.ok((late[count / 2] as number) < 50, `${late.map(Math.round)} ms late`);
});

t.test('a retry is on time too', async (t) => {
  const { mill, worker, sql } = await open(t);
  for (const listen of [true, false]) {
    const w = worker({
      handlers: {
        job: (_payload: unknown, { attempt }: { attempt: number }) => {
          if (attempt < 4) throw new Error('again');
        },
      },
      pollInterval: longPoll,
      listen,
    });
    const idle = next(w, 'idle');
    await w.start();
    await (listen ? asleep(sql) : idle);
    const id = await mill.addJob('job', {}, { retryBase: 30, maxAttempts: 9 });
    if (!listen) await w.stop();
    if (!listen) await w.start(); // nothing else tells it of the job
    const [row] = await until('it is completed', async () => {
      const rows = await sql(
        'select extract(epoch from finished_at - created_at)::float8 * 1000 as ms from pgmill.finished where id = $1',
        [id],
      );
      return rows.length > 0 && rows;
    });
    t.ok(row.ms >= 2 * 30 + 4 * 30 + 8 * 30 - 20 && row.ms < 5000, `${row.ms} ms`);
    await w.stop();
  }
});

t.test('a sleeping worker is told of new jobs, of its own queues only', async (t) => {
  const { mill, worker, sql, client } = await open(t);
  const heard: string[] = [];
  const listener = await client();
  listener.on('notification', ({ channel }) => heard.push(channel));
  await listener.query('listen pgmill');

  await mill.addJob('job');
  t.strictSame(heard, [], 'nobody sleeps');
  let ran = 0;
  const w = worker({ handlers: { job: () => void ran++ }, pollInterval: longPoll });
  await w.start();
  await asleep(sql);
  for (let wanted = 2; wanted < 7; wanted++) {
    await mill.addJob('job');
    await until('it has run', () => ran === wanted);
    await asleep(sql);
  }
  await until('all notifications', () => heard.length >= 5); // on their way to another connection
  await mill.addJob('other', {}, { queue: 'other' });
  const before = heard.length;
  await listener.query('select 1');
  t.equal(heard.length, before, 'another queue’s adders do not notify');
  await w.stop();
  await until('the lock is gone', async () => (await sql(`select from pg_locks where ${wakeLocks}`)).length === 0);
  await mill.addJob('job');
  await listener.query('select 1');
  t.equal(heard.length, before, 'nor do those of a queue where nobody sleeps any more');
});

t.test('a worker without a free slot is not told of new jobs', async (t) => {
  const { mill, worker, sql, client } = await open(t);
  const heard: string[] = [];
  const listener = await client();
  listener.on('notification', ({ channel }) => heard.push(channel));
  await listener.query('listen pgmill');
  const end = gate();
  let ran = 0;
  const w = worker({
    concurrency: 1,
    prefetch: 0,
    handlers: { job: () => (ran++ ? undefined : end.opened) },
    pollInterval: longPoll,
  });
  await w.start();
  await asleep(sql);
  await mill.addJob('job');
  await until('it runs, and has left the sleep', async () => {
    return ran === 1 && (await sql(`select from pg_locks where ${wakeLocks}`)).length === 0;
  });
  await listener.query('select 1');
  heard.length = 0;
  await mill.addJob('job');
  await listener.query('select 1');
  t.strictSame(heard, []);
  end.open();
  await until('it found the job all the same', () => ran === 2);
});

t.test('no wake-up is missed: many adders, several workers, no polling', async (t) => {
  const { worker, sql, url } = await open(t);
  const perAdder = 250;
  const adders = 8;
  let ran = 0;
  const handlers = {
    job: async () => {
      ran++;
      if (Math.random() < 0.05) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  };
  const workers = [1, 4, 20].map((concurrency) => worker({ handlers, concurrency, pollInterval: longPoll }));
  await Promise.all(workers.map((w) => w.start()));
  await asleep(sql);

  const pool = new pg.Pool({ connectionString: url, max: adders });
  t.teardown(() => pool.end());
  const mill = new PgMill({ pool });
  let added = 0;
  const add = async () => {
    for (let i = 0; i < perAdder; i++) {
      const batch = Math.random() < 0.2 ? 3 : 1;
      added += batch;
      if (batch === 1) await mill.addJob('job');
      else await mill.addJobs(Array.from({ length: batch }, () => ({ name: 'job' })));
      // Sometimes all adders wait until the workers are about to sleep again, which is when a wake-up could be lost.
      if (i % 10 === 9) await until(`all added so far have run`, () => ran >= added - adders * 3);
      else if (Math.random() < 0.3) await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
    }
  };
  await Promise.all(Array.from({ length: adders }, add));
  await until('all have run', () => ran === added);
  t.equal(ran, added);
});

t.test(
  'jobs of a long transaction are found when it commits, however long it kept the worker from sleeping',
  async (t) => {
    const { mill, worker, sql, client, state } = await open(t);
    const tx = await client();
    await tx.query('begin');
    const id = await mill.addJob('job', {}, { tx });
    const w = worker({ handlers: { job: () => {}, other: () => {} }, pollInterval: longPoll });
    await w.start();
    await until('the worker waits for the adder', async () => {
      const rows = await sql(`select from pg_locks where ${wakeLocks} and not granted`);
      return rows.length > 0;
    });
    const other = await mill.addJob('other');
    await until('it is not held up meanwhile', async () => (await state(other)) === 'completed');
    await tx.query('commit');
    await until('it has run', async () => (await state(id)) === 'completed', 8000);
    t.equal(await state(id), 'completed');
  },
);

t.test(
  'a wake-up that went to another worker for good is made up for when waiting for the lock times out',
  async (t) => {
    const { mill, worker, sql, client, state } = await open(t);
    const waiting = async () => (await sql(`select from pg_locks where ${wakeLocks} and not granted`)).length;
    const [adder, other] = [await client(), await client()];
    await adder.query('begin');
    const id = await mill.addJob('job', {}, { tx: adder });
    // Another worker, with no handler for this job, goes to sleep first, and keeps the lock.
    const asleep = other.query(`select pgmill.enter_sleep('{default}')`);
    await until('it waits for the adder', async () => (await waiting()) === 1);
    const w = worker({ handlers: { job: () => {} }, pollInterval: longPoll });
    await w.start();
    await until('our worker waits behind it', async () => (await waiting()) === 2);
    await adder.query('commit');
    await asleep;
    await until('it has run', async () => (await state(id)) === 'completed', 15_000);
    t.equal(await waiting(), 1, 'and our worker waits again');
  },
);

t.test('what was added while its LISTEN connection was broken is found when it has another', async (t) => {
  const { mill, worker, sql } = await open(t);
  let ran = 0;
  let errors = 0;
  const w = worker({ handlers: { job: () => void ran++ }, pollInterval: longPoll });
  w.on('error', () => errors++);
  await w.start();
  await asleep(sql);
  const allow = `update pg_database set datallowconn = $1 where datname = current_database()`;
  await sql(allow, [false]);
  await sql(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where datname = current_database() and query ilike 'listen%' and pid <> pg_backend_pid()`,
  );
  await until('it tries to connect', () => errors >= 2);
  await mill.addJob('job');
  t.equal(ran, 0);
  await sql(allow, [true]);
  await until('it has run', () => ran === 1);
});

t.test('with `listen: false` there is no LISTEN and no lock, and polling finds everything', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  const w = worker({ handlers: { job: () => {} }, pollInterval: 50, listen: false });
  await w.start();
  for (let round = 0; round < 3; round++) {
    const id = await mill.addJob('job');
    await until('it has run', async () => (await state(id)) === 'completed');
  }
  t.strictSame(await sql(`select from pg_locks where ${wakeLocks}`), []);
  t.strictSame(
    await sql(`select from pg_stat_activity where datname = current_database() and query ilike 'listen%'`),
    [],
  );
});

t.test('where notifications do not arrive it polls, and takes no session locks', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  const warnings: unknown[] = [];
  const logger = { error: console.error, warn: (line: unknown) => void warnings.push(line) };
  // A transaction pooler: LISTEN succeeds and nothing is ever heard.
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  t.intercept(pg.Client.prototype, 'query', {
    value(this: pg.Client, ...args: unknown[]) {
      return String(args[0]).startsWith('listen ') ? Promise.resolve({ rows: [] }) : query.apply(this, args);
    },
  });
  const w = worker({ handlers: { job: () => {} }, pollInterval: 50, logger });
  await w.start();
  await until('it noticed', () => warnings.length === 1);
  const id = await mill.addJob('job');
  await until('it has run', async () => (await state(id)) === 'completed');
  t.match(warnings[0], /LISTEN does not work here/);
  t.strictSame(await sql(`select from pg_locks where ${wakeLocks}`), []);
});
