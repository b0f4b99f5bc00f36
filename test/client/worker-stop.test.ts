// Stopping: nothing new, what has not started goes back, what runs may finish until the deadline.
import t from 'tap';
import { gate, next, open, until } from './worker-help.js';

t.test('gives prefetched jobs back, uncharged, and waits for the running one', async (t) => {
  const { mill, worker, states, sql } = await open(t);
  await mill.addJobs(Array.from({ length: 8 }, () => ({ name: 'job' })));
  const end = gate();
  let started = 0;
  const w = worker({
    concurrency: 1,
    prefetch: 4,
    stopTimeout: 30_000,
    handlers: {
      job: async () => {
        started++;
        await end.opened;
      },
    },
  });
  await w.start();
  await until('five are held', async () => (await states())['running'] === 5);
  const stopped = w.stop();
  await until('four are given back', async () => (await states())['ready'] === 7);
  t.equal(started, 1);
  end.open();
  await stopped;
  t.strictSame(await states(), { completed: 1, ready: 7 });
  const [row] = await sql('select max(attempts) as most, min(attempts) as least from pgmill.ready');
  t.strictSame(row, { most: 0, least: 0 });
});

t.test('gives back what a claim brings that was under way when it stopped', async (t) => {
  const { mill, worker, states, sql, client } = await open(t);
  let ran = 0;
  const w = worker({ handlers: { job: () => void ran++ }, pollInterval: 20 });
  await w.start();
  const blocker = await client();
  await blocker.query('begin; lock table pgmill.ready in access exclusive mode');
  await until('a claim waits', async () => {
    const rows = await sql(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ~ 'get_jobs'`,
    );
    return rows.length > 0;
  });
  await mill.addJob('job', {}, { tx: blocker });
  const stopped = w.stop();
  await blocker.query('commit');
  await stopped;
  t.strictSame(await states(), { ready: 1 });
  t.equal(ran, 0);
  t.strictSame(await sql('select attempts from pgmill.ready'), [{ attempts: 0 }]);
});

t.test('jobs that were prefetched while jobs were quick do not wait behind a slow one', async (t) => {
  const { mill, worker, states } = await open(t);
  const end = gate();
  const w = worker({
    concurrency: 1,
    handlers: {
      quick: () => {},
      slow: () => end.opened,
    },
  });
  await mill.addJobs(Array.from({ length: 500 }, () => ({ name: 'quick' })));
  await mill.addJobs([{ name: 'slow' }, ...Array.from({ length: 50 }, () => ({ name: 'quick' }))]);
  await w.start();
  await until('they are there for other workers', async () => {
    const now = await states();
    return now['running'] === 1 && now['ready'] === 50;
  });
  t.strictSame(await states(), { completed: 500, running: 1, ready: 50 });
  end.open();
  await until('all are completed', async () => (await states())['completed'] === 551);
});

t.test('after the deadline it aborts what runs, gives it back uncharged, and refuses what comes later', async (t) => {
  const { mill, worker, states, sql } = await open(t);
  await mill.addJobs([{ name: 'listens' }, { name: 'ignores' }, { name: 'writes' }]);
  await sql('create table note (text text)');
  const end = gate();
  const started: string[] = [];
  const signals: AbortSignal[] = [];
  const late: unknown[] = [];
  const w = worker({
    stopTimeout: 100,
    handlers: {
      listens: async (_payload, { signal }) => {
        started.push('listens');
        signals.push(signal);
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      ignores: async (_payload, { signal }) => {
        started.push('ignores');
        signals.push(signal);
        await end.opened;
        return 'late';
      },
      writes: {
        transactional: true,
        handler: async (_payload, { tx, signal }) => {
          signals.push(signal);
          await tx.query(`insert into note values ('one')`);
          started.push('writes');
          await end.opened;
          await tx.query(`insert into note values ('two')`).catch((error) => {
            late.push(error);
            throw error;
          });
        },
      },
    },
  });
  await w.start();
  await until('all run', () => started.length === 3);
  const start = performance.now();
  await w.stop();
  const took = performance.now() - start;
  t.ok(took >= 100 && took < 2000, `${took} ms`);
  t.strictSame(
    signals.map(({ aborted, reason }) => [aborted, reason.code]),
    Array(3).fill([true, 'shutdown']),
  );
  t.strictSame(await states(), { ready: 3 });
  t.strictSame(await sql('select max(attempts) as most from pgmill.ready'), [{ most: 0 }]);
  end.open();
  await until('the last handler has noticed', () => late.length === 1);
  t.strictSame(await states(), { ready: 3 }, 'the late completion changed nothing');
  t.strictSame(await sql('select * from note'), [], 'nor did the transaction');
});

t.test('a job that was asked to stop is cancelled when the worker stops', async (t) => {
  const { mill, worker, state } = await open(t);
  const id = await mill.addJob('job');
  const started = gate();
  const w = worker({
    listen: false,
    stopTimeout: 50,
    handlers: {
      job: () => {
        started.open();
        return new Promise(() => {});
      },
    },
  });
  const cancelled = next(w, 'job:cancel');
  await w.start();
  await started.opened;
  await mill.cancelJob(id);
  await w.stop();
  await cancelled;
  t.equal(await state(id), 'cancelled');
});

t.test('records what ended before it returns', async (t) => {
  const { mill, worker, states } = await open(t);
  await mill.addJobs(Array.from({ length: 200 }, () => ({ name: 'job' })));
  let ran = 0;
  const w = worker({ handlers: { job: async () => void ran++ } });
  const some = new Promise<void>((resolve) => w.on('job:start', () => ran > 20 && resolve()));
  await w.start();
  await some;
  await w.stop();
  const now = await states();
  t.equal(now['completed'], ran);
  t.equal((now['completed'] ?? 0) + (now['ready'] ?? 0), 200, 'and nothing else is left running');
});
