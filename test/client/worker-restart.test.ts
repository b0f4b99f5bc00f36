// The database goes away and comes back: workers resume by themselves, and nothing is lost.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import { PgMill } from '../../client/index.js';
import { install } from '../postgres/database.js';
import { fastSettings, startPostgres } from '../postgres/start.js';
import { gate, until } from './worker-help.js';

/** A server of this test's own, to be restarted. */
async function openServer(t: Test) {
  const server = await startPostgres({ settings: { ...fastSettings, restart_after_crash: false } });
  t.teardown(() => server.stop());
  await install(server.connectionString);
  const pool = new pg.Pool({ connectionString: server.connectionString });
  const mill = new PgMill({ pool });
  t.teardown(() => pool.end());
  const states = async () => {
    const { rows } = await pool.query('select state, count(*)::int as jobs from pgmill.job group by state');
    return Object.fromEntries(rows.map(({ state, jobs }) => [state, jobs]));
  };
  return { server, mill, pool, states };
}

t.test('restarts while the worker polls, sleeps and works', async (t) => {
  const { server, mill, pool, states } = await openServer(t);
  await pool.query('create table ledger (id bigint)');
  const runs = new Map<string, number>();
  const errors: unknown[] = [];
  const w = mill.worker({
    concurrency: 4,
    pollInterval: 300,
    lease: 3000,
    handlers: {
      job: async (_payload, { id }) => {
        runs.set(id, (runs.get(id) ?? 0) + 1);
        await sleep(Math.random() * 20);
      },
      tx: {
        transactional: true,
        retry: { base: 10 },
        handler: async (_payload, { tx, id }) => {
          await tx.query('insert into ledger values ($1)', [id]);
          await sleep(Math.random() * 20);
        },
      },
    },
  });
  w.on('error', (error) => errors.push(error));
  t.teardown(() => w.stop());
  await w.start();

  await server.restart(); // while it sleeps
  await mill.addJob('job');
  await until('it resumed', async () => (await states())['completed'] === 1);
  t.ok(errors.length > 0, 'the worker noticed');

  let added = 1;
  for (const mode of ['fast', 'immediate', 'fast'] as const) {
    const jobs = Array.from({ length: 300 }, (_, i) => ({
      name: i % 3 ? 'job' : 'tx',
      maxAttempts: 20,
      retryBase: 10,
    }));
    await mill.addJobs(jobs);
    added += jobs.length;
    const before = runs.size;
    await until('it works', () => runs.size > before + 50);
    await server.down(mode);
    await until('it noticed', () => errors.length > 0);
    await sleep(300); // for a while
    await server.up();
    await until('all are completed', async () => (await states())['completed'] === added, 40_000);
  }
  t.strictSame(await states(), { completed: added });
  const [row] = (await pool.query('select count(*)::int as n, count(distinct id)::int as jobs from ledger')).rows;
  t.strictSame(row, { n: 300, jobs: 300 }, 'what transactional handlers wrote is there once');
});

t.test('a job that ends while the database is away is recorded when it is back, and is not run again', async (t) => {
  const { server, mill, states } = await openServer(t);
  let ran = 0;
  const end = gate();
  const w = mill.worker({
    handlers: {
      job: async () => {
        ran++;
        await end.opened;
        return ran;
      },
    },
  });
  w.on('error', () => {});
  t.teardown(() => w.stop());
  await w.start();
  await mill.addJobs(Array.from({ length: 5 }, () => ({ name: 'job' })));
  await until('all run', () => ran === 5);
  await server.down();
  end.open();
  await sleep(500); // it fails to record them several times
  await server.up();
  await until('all are completed', async () => (await states())['completed'] === 5);
  t.equal(ran, 5);
});

t.test('starts while the database is away, and stops while it is away', async (t) => {
  const { server, mill, states } = await openServer(t);
  await mill.addJobs([{ name: 'job' }, { name: 'endless' }]);
  await server.down();
  const lines: unknown[] = [];
  const w = mill.worker({
    stopTimeout: 300,
    logger: { error: (line: unknown) => void lines.push(line), warn: () => {} },
    handlers: { job: () => {}, endless: () => new Promise(() => {}) },
  });
  const started = w.start();
  await until('it complains', () => lines.length > 0);
  await server.up();
  await started;
  await until('it works', async () => (await states())['completed'] === 1);
  await server.down();
  const start = performance.now();
  await w.stop();
  const took = performance.now() - start;
  t.ok(took < 5000, `${Math.round(took)} ms`);
  await server.up();
  t.strictSame(await states(), { completed: 1, running: 1 }, 'the lease of the other has to run out');
});

t.test('stop() ends a start() that never got an answer', async (t) => {
  const mill = new PgMill({ connectionString: 'postgres://127.0.0.1:1/nowhere' });
  const w = mill.worker({ handlers: { job: () => {} } });
  const errors: unknown[] = [];
  w.on('error', (error) => errors.push(error));
  const started = w.start();
  await until('it tried', () => errors.length > 0);
  const start = performance.now();
  await w.stop();
  await started;
  t.ok(performance.now() - start < 1000);
  await mill.close();
});
