// Transactional handlers: what they write commits with the completion of their job, or not at all.
import pg from 'pg';
import t from 'tap';
import { PgMill } from '../../client/index.js';
import { gate, next, open, until } from './worker-help.js';

t.test('writes, follow-up jobs and the completion are one transaction', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  await sql('create table note (text text)');
  const good = await mill.addJob('good', { text: 'kept' });
  const bad = await mill.addJob('bad', {}, { maxAttempts: 1 });
  const w = worker({
    handlers: {
      good: {
        transactional: true,
        handler: async ({ text }: { text: string }, { tx, mill }) => {
          await tx.query('insert into note values ($1)', [text]);
          await mill.addJob('follow-up', {}, { tx, runAt: new Date(Date.now() + 3_600_000) });
          return { text };
        },
      },
      bad: {
        transactional: true,
        handler: async (_payload, { tx, mill }) => {
          await tx.query(`insert into note values ('gone')`);
          await mill.addJob('follow-up', {}, { tx });
          throw new Error('boom');
        },
      },
    },
  });
  await w.start();
  await until('both have ended', async () => (await state(good)) === 'completed' && (await state(bad)) === 'failed');
  t.strictSame(await sql('select text from note'), [{ text: 'kept' }]);
  t.strictSame(await sql(`select state from pgmill.job where name = 'follow-up'`), [{ state: 'scheduled' }]);
  t.strictSame((await mill.findJob(good))?.result, { text: 'kept' });
});

t.test('keep: false, snooze and final work in transactions too', async (t) => {
  const { mill, worker, states } = await open(t);
  await mill.addJobs([{ name: 'forget' }, { name: 'snooze' }, { name: 'final' }]);
  const w = worker({
    handlers: {
      forget: { transactional: true, keep: false, handler: () => 1 },
      snooze: { transactional: true, handler: (_payload, ctx) => ctx.snooze(60_000) },
      final: { transactional: true, handler: (_payload, ctx) => ctx.fail('no') },
    },
  });
  await w.start();
  await until('all have ended', async () => {
    const now = await states();
    return now['scheduled'] === 1 && now['failed'] === 1 && !now['running'] && !now['ready'];
  });
  t.strictSame(await states(), { scheduled: 1, failed: 1 });
});

t.test('a lost lease rolls everything back', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  await sql('create table note (text text)');
  const id = await mill.addJob('job', {}, { retryBase: 3_600_000 });
  const written = gate();
  const end = gate();
  const w = worker({
    handlers: {
      job: {
        transactional: true,
        handler: async (_payload, { tx }) => {
          await tx.query(`insert into note values ('x')`);
          written.open();
          await end.opened;
        },
      },
    },
  });
  const lost = next(w, 'lease:lost');
  await w.start();
  await written.opened;
  await sql('update pgmill.running set token = gen_random_uuid()');
  end.open();
  await lost;
  t.strictSame(await sql('select * from note'), []);
  t.equal(await state(id), 'running');
});

t.test('a timeout takes the transaction away: a handler that ignores it can write nothing more', async (t) => {
  const { mill, worker, sql } = await open(t);
  await sql('create table note (text text)');
  await mill.addJob('job', {}, { timeout: 150, maxAttempts: 1 });
  const end = gate();
  const errors: Error[] = [];
  const w = worker({
    handlers: {
      job: {
        transactional: true,
        handler: async (_payload, { tx }) => {
          await tx.query(`insert into note values ('one')`);
          await end.opened;
          await tx.query(`insert into note values ('two')`).catch((error) => errors.push(error));
          return 'late';
        },
      },
    },
  });
  const failed = next(w, 'job:fail');
  await w.start();
  t.match(await failed, [{}, { reason: 'timeout', state: 'failed' }]);
  await until('the transaction is gone', async () => {
    const [row] = await sql(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
    );
    return row.n === 0;
  });
  end.open();
  await until('its write is refused', () => errors.length === 1);
  t.strictSame(await sql('select * from note'), []);
});

t.test('a handler that ends its transaction itself, or goes on after an error in it, has failed', async (t) => {
  const { mill, worker, sql } = await open(t);
  await mill.addJobs([
    { name: 'commits', maxAttempts: 1 },
    { name: 'swallows', maxAttempts: 1 },
  ]);
  const w = worker({
    handlers: {
      commits: { transactional: true, handler: (_payload, { tx }) => tx.query('commit') },
      swallows: { transactional: true, handler: (_payload, { tx }) => tx.query('select 1 / 0').catch(() => 'fine') },
    },
  });
  await w.start();
  await until('both have failed', async () => (await mill.findJobs({ state: 'failed' })).length === 2);
  const rows = await sql(`select errors -> 0 ->> 'message' as message from pgmill.finished`);
  for (const { message } of rows) t.match(message, /ended the transaction of its job, or went on after an error/);
});

t.test('a result that cannot be stored fails the job and rolls back', async (t) => {
  const { mill, worker, sql } = await open(t);
  await sql('create table note (text text)');
  await mill.addJob('job', {}, { maxAttempts: 1 });
  const w = worker({
    handlers: {
      job: {
        transactional: true,
        handler: async (_payload, { tx }) => {
          await tx.query(`insert into note values ('x')`);
          return 'x'.repeat(2_000_000);
        },
      },
    },
  });
  await w.start();
  await until('it has failed', async () => (await mill.findJobs({ state: 'failed' })).length === 1);
  t.strictSame(await sql('select * from note'), []);
});

t.test('a pool smaller than the concurrency is enough, also when handlers use it', async (t) => {
  const { worker: _worker, url, states } = await open(t);
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const mill = new PgMill({ pool });
  await mill.addJobs(Array.from({ length: 40 }, () => ({ name: 'job', maxAttempts: 1 })));
  const all = gate();
  let inside = 0;
  const w = mill.worker({
    concurrency: 8,
    handlers: {
      job: {
        transactional: true,
        handler: async () => {
          if (++inside === 8) all.open();
          await all.opened; // all eight are in a transaction now
          await mill.insights(); // on the pool's only connection
        },
      },
    },
  });
  t.teardown(async () => {
    await w.stop();
    await pool.end();
  });
  await w.start();
  await until('all are completed', async () => (await states())['completed'] === 40);
  t.strictSame(await states(), { completed: 40 });
});

t.test('the connection breaks at the commit: the job is done once, whether the commit arrived or not', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  await sql('create table note (id text)');
  const w = worker({
    handlers: {
      job: {
        transactional: true,
        handler: async ({ arrives }: { arrives: boolean }, { tx, id }) => {
          await tx.query('insert into note values ($1)', [id]);
          // The network fails while the commit is on its way, or on the way back.
          const query = tx.query.bind(tx) as (...args: unknown[]) => Promise<unknown>;
          const { stream } = (tx as unknown as { connection: { stream: { destroy(): void } } }).connection;
          t.intercept(tx as object as { query: unknown }, 'query', {
            value: async (...args: unknown[]) => {
              if (args[0] !== 'commit') return query(...args);
              if (arrives) await query('commit');
              stream.destroy();
              throw new Error('Connection terminated unexpectedly');
            },
          });
        },
      },
    },
  });
  await w.start();
  const arrived = await mill.addJob('job', { arrives: true }, { retryBase: 3_600_000 });
  await until('it is completed', async () => (await state(arrived)) === 'completed');
  const lost = await mill.addJob('job', { arrives: false }, { retryBase: 3_600_000 });
  await until('it is to run again', async () => (await state(lost)) === 'scheduled');
  t.strictSame(await sql('select id from note'), [{ id: arrived }]);
  t.equal(await state(arrived), 'completed');
});

t.test(
  'ctx.complete commits the writes with the completion, in a transaction that begins when it is called',
  async (t) => {
    const { mill, worker, sql, state } = await open(t);
    await sql('create table note (text text)');
    const id = await mill.addJob('job');
    const completed = gate<unknown>();
    let idle: unknown[] = [];
    const w = worker({
      handlers: {
        async job(_payload: unknown, ctx) {
          idle = await sql(
            `select state from pg_stat_activity where datname = current_database() and state ~ 'in transaction'`,
          );
          await ctx.complete(async (tx) => {
            await tx.query(`insert into note values ('kept')`);
            return { done: true };
          });
          return 'this is not the result';
        },
      },
    });
    w.on('job:complete', (_job, result) => completed.open(result));
    await w.start();
    t.strictSame(await completed.opened, { done: true });
    t.strictSame(idle, []);
    t.strictSame(
      await sql('select text, xmin::text = (select xmin::text from pgmill.finished) as together from note'),
      [{ text: 'kept', together: true }],
    );
    t.strictSame([await state(id), (await mill.findJob(id))?.result], ['completed', { done: true }]);
  },
);

t.test('ctx.complete leaves nothing when it throws, and the attempt has failed', async (t) => {
  const { mill, worker, sql } = await open(t);
  await sql('create table note (text text)');
  const id = await mill.addJob('job', {}, { maxAttempts: 1 });
  const w = worker({
    handlers: {
      async job(_payload: unknown, ctx) {
        await ctx.complete(async (tx) => {
          await tx.query(`insert into note values ('gone')`);
          throw new Error('boom');
        });
      },
    },
  });
  const failed = next(w, 'job:fail');
  await w.start();
  await failed;
  const job = await mill.findJob(id);
  t.match(job, { state: 'failed', errors: [{ message: /boom/ }] });
  t.strictSame(await sql('select * from note'), []);
});

t.test('ctx.complete writes nothing for a job whose lease was lost', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  await sql('create table note (text text)');
  const id = await mill.addJob('job', {}, { retryBase: 3_600_000 });
  const refused = gate<unknown>();
  const w = worker({
    listen: false, // so that no heartbeat comes between
    handlers: {
      async job(_payload: unknown, ctx) {
        await sql(`update pgmill.running set lease_until = now() - interval '1 second'`);
        await mill.reclaim();
        await ctx.complete((tx) => tx.query(`insert into note values ('gone')`)).catch(refused.open);
      },
    },
  });
  const lost = next(w, 'lease:lost');
  await w.start();
  t.match(await refused.opened, { code: 'PM002' });
  await lost;
  t.equal(await state(id), 'scheduled');
  t.strictSame(await sql('select * from note'), []);
});

t.test('ctx.complete after the time is up is refused, whatever the handler thinks', async (t) => {
  const { mill, worker, sql, state } = await open(t);
  await sql('create table note (text text)');
  const id = await mill.addJob('job', {}, { timeout: 30, maxAttempts: 1 });
  const refused = gate<unknown>();
  const failed = gate();
  const w = worker({
    handlers: {
      async job(_payload: unknown, ctx) {
        await failed.opened;
        await ctx.complete((tx) => tx.query(`insert into note values ('gone')`)).catch(refused.open);
      },
    },
  });
  w.on('job:fail', () => failed.open());
  await w.start();
  t.match(await refused.opened, { code: 'timeout' });
  t.equal(await state(id), 'failed');
  t.strictSame(await sql('select * from note'), []);
});
