// The pool: whose it is, what becomes of it when the database restarts, and prepared statements.
import pg from 'pg';
import t from 'tap';
import { PgMill } from '../../client/index.js';
import { install, testDatabase } from '../postgres/database.js';
import { fastSettings, startPostgres } from '../postgres/start.js';

t.test('makes a pool of its own and ends it, once', async (t) => {
  const { url } = await testDatabase(t);
  const mill = new PgMill({ connectionString: url });
  t.match(await mill.addJob('a'), /^\d+$/);
  const { rows } = await mill.pool.query(`select current_setting('application_name') as name`);
  t.equal(rows[0].name, 'pgmill');
  const closing = mill.close();
  t.equal(mill.close(), closing, 'closing twice is closing once');
  await closing;
  await mill.close();
  t.ok(mill.pool.ended);
  await t.rejects(mill.addJob('a'), { message: /after calling end/ });
});

t.test('leaves a pool of the caller open, and takes its listener away', async (t) => {
  const { pool } = await testDatabase(t);
  const before = pool.listenerCount('error');
  const mill = new PgMill({ pool });
  const other = new PgMill({ pool });
  t.equal(mill.pool, pool);
  t.equal(pool.listenerCount('error'), before + 2);
  await mill.close();
  await mill.close();
  t.equal(pool.listenerCount('error'), before + 1, 'its own only');
  t.notOk(pool.ended);
  t.match(await other.addJob('a'), /^\d+$/);
  await other.close();
  t.equal(pool.listenerCount('error'), before);
});

t.test('refuses options that contradict each other', async (t) => {
  const { pool } = await testDatabase(t);
  t.throws(() => new PgMill({ pool, connectionString: 'postgres://localhost/x' }), { name: 'InvalidArgumentError' });
  t.throws(() => new PgMill({ pool: {} as pg.Pool }), { name: 'InvalidArgumentError' });
  t.throws(() => new PgMill({ pool: null as unknown as pg.Pool }), { name: 'InvalidArgumentError' });
});

t.test('takes the database from the environment when nothing is said', async (t) => {
  const { url } = await testDatabase(t);
  const { hostname, port, username, password, pathname } = new URL(url);
  const set = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password, PGDATABASE: pathname.slice(1) };
  const before = { ...process.env };
  Object.assign(process.env, set);
  const mill = new PgMill();
  t.teardown(async () => {
    for (const name of Object.keys(set)) delete process.env[name];
    Object.assign(process.env, before);
    await mill.close();
  });
  const { rows } = await mill.pool.query('select current_database() as name');
  t.equal(rows[0].name, set.PGDATABASE);
});

t.test('survives a restart of the database, with a pool of its own and with the caller’s', async (t) => {
  const server = await startPostgres({ settings: { ...fastSettings, synchronous_commit: true } });
  await install(server.connectionString);
  const pool = new pg.Pool({ connectionString: server.connectionString });
  const mills = [new PgMill({ connectionString: server.connectionString }), new PgMill({ pool })];
  t.teardown(async () => {
    pool.on('error', () => {}); // from here on nobody else listens
    await Promise.all(mills.map((mill) => mill.close()));
    await pool.end();
    await server.stop();
  });

  for (const mode of ['fast', 'immediate'] as const) {
    const ids = await Promise.all(mills.flatMap((mill) => [mill.addJob('a'), mill.addJob('a'), mill.addJob('a')]));
    t.ok(mills.every((mill) => mill.pool.idleCount >= 3));
    const noticed = mills.map(async ({ pool }) => {
      while (pool.totalCount > 0) await new Promise((resolve) => pool.once('remove', resolve));
    });
    await server.down(mode);
    await Promise.all(noticed); // a connection not yet known to be lost would fail in another way
    for (const mill of mills) await t.rejects(mill.addJob('a'), { code: /ECONN|57P/ }, 'a call while it is down fails');
    await server.up();
    for (const mill of mills) {
      t.match(await mill.addJob('a'), /^\d+$/, `works again after ${mode}`);
      t.match(await mill.findJob(ids[0] ?? ''), { id: ids[0] });
    }
  }
});

t.test('a call that is under way when the connection breaks fails, and the next one works', async (t) => {
  const { url, sql } = await testDatabase(t);
  const mill = new PgMill({ connectionString: url });
  t.teardown(() => mill.close());
  await mill.addJob('a', {}, { uniqueKey: 'k' });
  const blocker = await mill.pool.connect();
  blocker.on('error', () => {});
  await blocker.query('begin');
  await mill.addJob('a', {}, { uniqueKey: 'k', onDuplicate: 'replace', tx: blocker });
  const waiting = mill.addJob('a', {}, { uniqueKey: 'k', onDuplicate: 'replace' });
  const rejected = t.rejects(waiting, { code: '57P01' });
  const blocked = `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  let rows: { pid: number }[] = [];
  for (let tries = 0; tries < 500 && rows.length === 0; tries++) rows = await sql(blocked);
  t.equal(rows.length, 1, 'it waits');
  await sql('select pg_terminate_backend($1)', [rows[0]?.pid]);
  await rejected;
  await blocker.query('rollback');
  blocker.release();
  t.match(await mill.addJob('b'), /^\d+$/);
});

t.test('prepared statements', async (t) => {
  const { url } = await testDatabase(t);
  const onOneConnection = (t: { teardown(fn: () => unknown): unknown }, preparedStatements?: boolean) => {
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    const mill = new PgMill({ pool, preparedStatements });
    t.teardown(async () => {
      await mill.close();
      await pool.end();
    });
    const prepared = async (): Promise<string[]> =>
      (await pool.query('select name from pg_prepared_statements order by name')).rows.map(({ name }) => name);
    return { pool, mill, prepared };
  };

  t.test('prepares each form of a call once', async (t) => {
    const { mill, prepared } = onOneConnection(t);
    await mill.addJob('a', { n: 1 });
    await mill.addJob('b', { n: 2 });
    t.equal((await prepared()).length, 1);
    await mill.addJob('b', { n: 2 }, { queue: 'q' });
    const names = await prepared();
    t.equal(names.length, 2);
    t.ok(names.every((name) => /^pgmill_[\da-f]{20}$/.test(name)));
  });

  t.test('prepares none when told not to, nor in a transaction of the caller', async (t) => {
    const { mill, prepared } = onOneConnection(t, false);
    await mill.addJob('a');
    t.match(await mill.getJobs({ worker: 'w', maxJobs: 1 }), [{ name: 'a' }]);
    t.strictSame(await prepared(), []);

    const other = onOneConnection(t);
    const tx = await other.pool.connect();
    await tx.query('begin');
    await other.mill.addJob('a', {}, { tx });
    await tx.query('commit');
    tx.release();
    t.strictSame(await other.prepared(), []);
  });

  t.test('goes on without when the server loses them, as PgBouncer makes it seem', async (t) => {
    const { pool, mill, prepared } = onOneConnection(t);
    await mill.addJob('a');
    await pool.query('deallocate all');
    t.match(await mill.addJob('a'), /^\d+$/);
    t.match(await mill.addJob('a'), /^\d+$/);
    t.strictSame(await prepared(), []);
  });

  t.test('goes on without when the server has them from someone else', async (t) => {
    const first = onOneConnection(t);
    await first.mill.addJob('a');
    const [name] = await first.prepared();
    const { pool, mill } = onOneConnection(t);
    await pool.query(`prepare ${name} as select 1`);
    t.match(await mill.addJob('a'), /^\d+$/);
    t.match(await mill.addJob('a'), /^\d+$/);
  });

  t.test('stays right when pgmill is updated meanwhile', async (t) => {
    const { pool, mill, prepared } = onOneConnection(t);
    t.strictSame(await mill.tick(), []);
    await pool.query(`
      drop function pgmill.tick();
      create function pgmill.tick() returns table (more text, task text, changed bigint) language sql
        as $$ select 'more', 'new', 7 $$`);
    t.strictSame(await mill.tick(), [{ task: 'new', changed: 7 }]);
    t.equal((await prepared()).length, 1, 'and prepared still');
  });
});
