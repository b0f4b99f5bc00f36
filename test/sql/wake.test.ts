// wake, enter_sleep, leave_sleep: who adds jobs notifies a sleeping worker, and nobody else.
import t, { type Test } from 'tap';
import { testDatabase } from '../postgres/database.js';
import { until } from './contents.js';
import { add, claim, empty, type Lease, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

/** Queues whose wake locks are all different, and different from that of the queue `default`. */
const queues = (
  await db.sql<{ queue: string }>(`
    select min(q) as queue from (select 'q' || n as q from generate_series(1, 1000) n) x
    where hashtext(q) & 63 <> hashtext('default') & 63 group by hashtext(q) & 63 order by 1 limit 3`)
).map(({ queue }) => queue) as [string, string, string];

/** Listens, and returns a function that tells how many notifications have come since it was called last. */
async function listen(t: Test): Promise<() => Promise<number>> {
  const [listener, marker] = [await db.client(), await db.client()];
  const got: string[] = [];
  listener.on('notification', ({ channel, payload }) => got.push(`${channel} ${payload}`));
  await listener.query('listen pgmill');
  let turn = 0;
  return async () => {
    // Notifications come in the order of the commits: with the mark everything before it has come.
    const mark = `pgmill mark ${++turn}`;
    await marker.query(`notify pgmill, 'mark ${turn}'`);
    await until(async () => (await listener.query('select 1')) && got.includes(mark), 'the mark comes');
    const before = got.splice(0, got.indexOf(mark) + 1).slice(0, -1);
    t.same(
      before.filter((each) => each !== 'pgmill '),
      [],
      'without a payload',
    );
    return before.length;
  };
}

/** A client whose backend, and with it every lock, is gone when the test ends. */
async function passing(t: Test) {
  const client = await db.client();
  const pid = await value(client, 'select pg_backend_pid()');
  t.teardown(() => db.sql('select pg_terminate_backend($1, 10000)', [pid]));
  return client;
}

/** A client that sleeps on these queues until the test ends. */
async function sleeper(t: Test, ...on: string[]) {
  const client = await passing(t);
  await client.query('select pgmill.enter_sleep($1)', [on]);
  return client;
}

/** Everything that puts jobs into a queue, each in a transaction of its own. */
const ways: Record<string, () => Promise<unknown>> = {
  add_job: () => add(db),
  'add_job for later': () => add(db, `'a', run_at => '2100-01-01'`),
  'add_job replacing': () => add(db, `'a', unique_key => 'k', on_duplicate => 'replace'`),
  add_jobs: () => db.sql(`select pgmill.add_jobs('[{"name": "a"}, {"name": "b", "unique_key": "b"}, {"name": "c"}]')`),
  'fail_job, to be retried': () =>
    db.sql(`select pgmill.fail_job(id, token, 'x') from (select * from pgmill.running order by id limit 1) r`),
  release_jobs: () =>
    db.sql(
      'select pgmill.release_jobs(array_agg(id), array_agg(token)) from (select * from pgmill.running order by id limit 2) r',
    ),
  snooze_job: () =>
    db.sql(
      `select pgmill.snooze_job(id, token, '2100-01-01') from (select * from pgmill.running order by id limit 1) r`,
    ),
  reclaim: async () => {
    await db.sql(`update pgmill.running set lease_until = '2000-01-01'`);
    await db.sql('select pgmill.reclaim()');
  },
};

t.test('while nobody sleeps nobody is notified', async (t) => {
  const count = await listen(t);
  for (let n = 0; n < 6; n++) await run(db);
  for (const [name, way] of Object.entries(ways)) {
    await way();
    t.equal(await count(), 0, name);
  }
});

t.test('while somebody sleeps each transaction that brings work notifies once', async (t) => {
  const count = await listen(t);
  for (let n = 0; n < 6; n++) await run(db);
  await sleeper(t, 'default');
  for (const [name, way] of Object.entries(ways)) {
    await way();
    t.equal(await count(), 1, name);
  }
  const client = await db.client();
  await client.query(`begin; select pgmill.add_job('a'); select pgmill.add_job('b', run_at => '2100-01-01')`);
  await client.query(`select pgmill.add_jobs('[{"name": "a"}, {"name": "b"}]')`);
  t.equal(await count(), 0, 'not before the commit');
  await client.query('commit');
  t.equal(await count(), 1, 'many in one transaction are one');
  await client.query(`begin; select pgmill.add_job('a'); rollback`);
  t.equal(await count(), 0, 'a rollback tells nobody');
  const leases = await claim(db);
  await db.sql('select pgmill.complete_jobs($1, $2)', [leases.map(({ id }) => id), leases.map(({ token }) => token)]);
  t.ok(leases.length > 0);
  t.equal(await count(), 0, 'nor do claims and completions');
});

t.test('only for the queues it sleeps on', async (t) => {
  const count = await listen(t);
  const [a, b, c] = queues;
  await sleeper(t, a, b, a);
  const jobs = JSON.stringify([c, 'default'].map((queue) => ({ name: 'x', queue })));
  await db.sql('select pgmill.add_jobs($1)', [jobs]);
  t.equal(await count(), 0);
  await db.sql(`select pgmill.add_job('x', queue => $1)`, [b]);
  t.equal(await count(), 1);
  await db.sql('select pgmill.add_jobs($1)', [JSON.stringify([c, a, b, c].map((queue) => ({ name: 'x', queue })))]);
  t.equal(await count(), 1);
});

t.test('leave_sleep ends it, and so does the end of the connection', async (t) => {
  const count = await listen(t);
  const client = await sleeper(t, 'default', queues[0]);
  await client.query('select pgmill.leave_sleep()');
  await add(db);
  t.equal(await count(), 0);
  await client.query('select pgmill.leave_sleep()');
  await client.query('select pgmill.enter_sleep($1)', [['default']]);
  await add(db);
  t.equal(await count(), 1, 'it may sleep again');
  await client.end();
  const locks = `select count(*)::int from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`;
  await until(async () => (await value(db, locks)) === 0, 'the lock is gone');
  await add(db);
  t.equal(await count(), 0);
});

t.test(
  'no job is overlooked: who goes to sleep waits for those that add without notifying, and then sees their jobs',
  async (t) => {
    const count = await listen(t);
    const [adder, other, worker] = [await db.client(), await db.client(), await passing(t)];
    await adder.query('begin');
    const silent = await value(adder, `select pgmill.add_job('silent')`);
    t.same(await claim(worker), [], 'the worker looks, and finds nothing');
    const { result } = await whileBlocked(db, worker, `select pgmill.enter_sleep('{default}')`);

    await other.query('begin');
    const loud = await value(other, `select pgmill.add_job('loud')`);
    await adder.query(`select pgmill.add_job('silent too')`);
    await other.query('commit');
    t.equal(await count(), 1, 'who adds while it waits does notify');
    await adder.query('commit');
    await result;
    t.equal(await count(), 0, 'who began before has not');
    const found = (await claim(worker)).map(({ id }) => id);
    t.ok(
      found.includes(silent) && found.includes(loud) && found.length === 3,
      'but when the wait is over its jobs are visible',
    );

    await other.query('begin');
    const late = await value(other, `select pgmill.add_job('late')`);
    t.same(await claim(worker), [], 'a job that is added while it sleeps is not visible yet');
    await other.query('commit');
    t.equal(await count(), 1, 'and its commit notifies');
    t.same(
      (await claim(worker)).map(({ id }) => id),
      [late],
    );
  },
);

t.test('an adder never waits for a sleeping worker, nor for one that wants to sleep', async (t) => {
  const [adder, other] = [await db.client(), await db.client()];
  const worker = await sleeper(t, 'default');
  const second = await passing(t);
  await whileBlocked(db, second, `select pgmill.enter_sleep('{default}')`);
  await adder.query(`set lock_timeout = '1ms'`);
  await adder.query(`begin; select pgmill.add_job('a')`);
  await other.query(`set lock_timeout = '1ms'; select pgmill.add_job('b'); select pgmill.get_jobs('w', 1)`);
  await adder.query('commit');
  await worker.query('select pgmill.leave_sleep()');
  t.equal(await value(db, 'select count(*)::int from pgmill.job'), 2);
});

t.test('waiting ends after 5 seconds with 55P03; what it holds by then it keeps until leave_sleep', async (t) => {
  const setting = await value(db, `select proconfig from pg_proc where oid = 'pgmill.enter_sleep'::regproc`);
  t.ok(setting.includes('lock_timeout=5s'));
  await db.sql(`alter function pgmill.enter_sleep set lock_timeout = '20ms'`);
  const count = await listen(t);
  const [adder, worker] = [await db.client(), await passing(t)];
  const [first, second] = (
    await db.sql<{ q: string }>('select q from unnest($1::text[]) q order by hashtext(q) & 63', [queues.slice(0, 2)])
  ).map(({ q }) => q) as [string, string];
  await adder.query('begin');
  await adder.query(`select pgmill.add_job('a', queue => $1)`, [second]);
  await t.rejects(worker.query('select pgmill.enter_sleep($1)', [[second, first]]), { code: '55P03' });
  await db.sql(`select pgmill.add_job('a', queue => $1)`, [first]);
  t.equal(await count(), 1);
  await worker.query('select pgmill.leave_sleep()');
  await db.sql(`select pgmill.add_job('a', queue => $1)`, [first]);
  t.equal(await count(), 0);
  await adder.query('commit');
  await worker.query('select pgmill.enter_sleep($1)', [[second, first]]);
  t.equal(await value(db, 'show lock_timeout'), '0', 'the setting is its own');
});

t.test('two that sleep on one queue take turns, two on different queues do not', async (t) => {
  const [a, b] = queues;
  const one = await sleeper(t, a);
  await sleeper(t, b);
  const two = await passing(t);
  const { result } = await whileBlocked(db, two, 'select pgmill.enter_sleep($1)', [[a]]);
  await one.query('select pgmill.leave_sleep()');
  await result;
  t.pass();
});

t.test('a transaction that adds to thousands of queues holds 64 locks for them at most', async (t) => {
  const client = await db.client();
  const held = `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`;
  await client.query('begin');
  await client.query('select pgmill.add_jobs($1)', [
    JSON.stringify(Array.from({ length: 3000 }, (_, n) => ({ name: 'a', queue: `q${n}` }))),
  ]);
  t.equal(await value(client, held), 64);
  for (const queue of queues) await client.query(`select pgmill.add_job('b', queue => $1)`, [queue]);
  t.equal(await value(client, held), 64);
  await client.query('commit');
  t.equal(await value(client, held), 0);
});

t.test('a sleeping worker does not keep others from working', async (t) => {
  const lease: Lease = await run(db);
  await sleeper(t, 'default', ...queues);
  const client = await db.client();
  await client.query(`set lock_timeout = '1ms'`);
  await client.query('select pgmill.extend_leases(array[$1::bigint], array[$2::uuid])', [lease.id, lease.token]);
  await client.query('select * from pgmill.tick()');
  await client.query('select pgmill.complete_job($1, $2)', [lease.id, lease.token]);
  t.same(
    (await db.sql('select state from pgmill.job')).map(({ state }) => state),
    ['completed'],
  );
});
