import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, empty, failed, refused, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const retry = async (args = ''): Promise<number> => Number(await value(db, `select pgmill.retry_jobs(${args})`));
const cancelled = async (args?: string) => {
  const id = await add(db, args);
  await db.sql('select pgmill.cancel_job($1)', [id]);
  return id;
};
const ready = async () =>
  (await db.sql(`select id from pgmill.job where state = 'ready' order by id`)).map(({ id }) => id);

t.test('brings back failed and cancelled jobs, and no others', async (t) => {
  const { id: done, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2)', [done, token]);
  const bad = await failed(db, `'a', max_attempts => 2, unique_key => 'k'`);
  const gone = await cancelled();
  await add(db, `'a', run_at => '2100-01-01'`);
  await run(db);
  const before = await rooms(db);
  t.equal(await retry(), 2);
  await changed(t, db, before, [bad, gone, null], 'only these two, and the key of the first');
  t.match(await db.sql('select * from pgmill.job where id = $1', [bad]), [
    { state: 'ready', attempts: 0, max_attempts: 2, errors: [{ message: 'no luck' }], finished_at: null },
  ]);
  t.same(await ready(), [bad, gone]);
  t.equal(await retry(), 0, 'a second time there is nothing left');
});

t.test('filters by state, name, queue and run_at, joined with and', async (t) => {
  const jobs = {
    bad: await failed(db, `'x', queue => 'q'`, 'q'),
    gone: await cancelled(`'x', queue => 'q'`),
    name: await failed(db, `'y', queue => 'q'`, 'q'),
    queue: await failed(db, `'x'`),
    early: await cancelled(`'x', queue => 'q', run_at => '2100-01-01Z'`),
    late: await cancelled(`'x', queue => 'q', run_at => '2100-01-02Z'`),
  };
  const cases: [args: string, ...ids: string[]][] = [
    [`'x', 'q', 'failed'`, jobs.bad],
    [`name => 'y'`, jobs.name],
    [`queue => 'default'`, jobs.queue],
    [`state => 'failed'`, jobs.bad, jobs.name, jobs.queue],
    [`'x', 'q', 'cancelled', run_from => '2100-01-01Z', run_until => '2100-01-02Z'`, jobs.early],
    [`run_from => '2100-01-01Z'`, jobs.early, jobs.late],
    [`'x', run_from => '2100-01-02Z', run_until => '2100-01-02Z'`],
    [`'nobody'`],
  ];
  for (const [args, ...ids] of cases) {
    const client = await db.client();
    await client.query('begin');
    t.equal(Number(await value(client, `select pgmill.retry_jobs(${args})`)), ids.length, args);
    t.same(
      (await client.query('select id from pgmill.ready order by id')).rows,
      ids.map((id) => ({ id })),
      args,
    );
    await client.query('rollback');
    await client.end();
  }
});

t.test('at most max_jobs, those with the lowest ids first', async (t) => {
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.push(await cancelled());
  t.equal(await retry('max_jobs => 2'), 2);
  t.same(await ready(), ids.slice(0, 2));
  t.equal(await retry('max_jobs => 10000'), 3);
  t.same(await ready(), ids);
});

t.test('passes over jobs whose key a live job holds, and does not count them towards max_jobs', async (t) => {
  const held = await failed(db, `'a', unique_key => 'k'`);
  await add(db, `'b', unique_key => 'k'`);
  const free = await cancelled(`'a', unique_key => 'free'`);
  const elsewhere = await cancelled(`'a', queue => 'other', unique_key => 'k'`);
  const before = await rooms(db);
  t.equal(await retry('max_jobs => 2'), 2);
  await changed(t, db, before, [free, elsewhere, null], 'only these two');
  t.match(await db.sql('select state from pgmill.job where id = $1', [held]), [{ state: 'failed' }]);
  t.equal(await retry(), 0);
});

t.test('of several jobs with one key the first comes back', async (t) => {
  const ids = [
    await cancelled(`'a', unique_key => 'k'`),
    await cancelled(`'a', unique_key => 'k'`),
    await cancelled(`'a', unique_key => 'k'`),
  ];
  t.equal(await retry(), 1);
  t.same(await ready(), ids.slice(0, 1));
  t.same(await db.sql('select id from pgmill.job_key'), [{ id: ids[0] }]);
  t.equal(await retry(), 0);
});

t.test('refuses each argument that makes no sense', async (t) => {
  await cancelled();
  await refused(t, db, [
    `retry_jobs('')`,
    `retry_jobs(repeat('x', 256))`,
    `retry_jobs(queue => '')`,
    `retry_jobs(queue => repeat('x', 256))`,
    `retry_jobs(state => '')`,
    `retry_jobs(state => 'completed')`,
    `retry_jobs(state => 'ready')`,
    `retry_jobs(run_from => 'infinity')`,
    `retry_jobs(run_from => '-infinity')`,
    `retry_jobs(run_until => 'infinity')`,
    `retry_jobs(run_until => '-infinity')`,
    `retry_jobs(run_from => '2026-01-02', run_until => '2026-01-01')`,
    'retry_jobs(max_jobs => null)',
    'retry_jobs(max_jobs => 0)',
    'retry_jobs(max_jobs => -1)',
    'retry_jobs(max_jobs => 10001)',
  ]);
});

t.test('a key that is taken while it looks: that job is passed over, the others come back', async (t) => {
  const lost = await cancelled(`'a', unique_key => 'k'`);
  const other = await cancelled(`'a', unique_key => 'l'`);
  const [adder, retrier] = [await db.client(), await db.client()];
  await adder.query('begin');
  await adder.query(`select pgmill.add_job('b', unique_key => 'k')`);
  const { result } = await whileBlocked(db, retrier, 'select pgmill.retry_jobs() as count');
  await adder.query('commit');
  t.same(await result, [{ count: '1' }]);
  t.match(await db.sql('select state from pgmill.job where id in ($1, $2) order by id', [lost, other]), [
    { state: 'cancelled' },
    { state: 'ready' },
  ]);
});

t.test('two at once bring each job back once', async (t) => {
  for (let i = 0; i < 5; i++) await cancelled(`'a', unique_key => '${i}'`);
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  t.equal(await value(first, 'select pgmill.retry_jobs(max_jobs => 3)'), '3');
  const { result } = await whileBlocked(db, second, 'select pgmill.retry_jobs() as count');
  await first.query('commit');
  t.same(await result, [{ count: '2' }]);
  t.equal((await ready()).length, 5);
});

t.test('takes keys in the order add_jobs takes them in, so that neither dies in a deadlock', async (t) => {
  await cancelled(`'a', unique_key => 'b'`);
  await cancelled(`'a', unique_key => 'a'`);
  const [adder, retrier] = [await db.client(), await db.client()];
  await adder.query('begin');
  await adder.query(`select pgmill.add_job('x', unique_key => 'a')`);
  const { result } = await whileBlocked(db, retrier, 'select pgmill.retry_jobs() as count');
  await adder.query(`set local lock_timeout = '5 s'`);
  await adder.query(`select pgmill.add_job('x', unique_key => 'b')`); // retry_jobs has not taken it: it waits for a first
  await adder.query('commit');
  t.same(await result, [{ count: '0' }]);
});
