import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, claim, empty, failed, refused, rooms, run, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const common = {
  queue: 'mail',
  name: 'send',
  payload: { to: 'x' },
  priority: 3,
  max_attempts: 4,
  unique_key: 'k',
  cron: null,
  cron_tick: null,
};
const args = `'send', '{"to":"x"}', 'mail', 3, max_attempts => 4, timeout => '7 s', retry_base => '8 s', retry_max => '9 s', unique_key => 'k'`;

t.test('finds a job in each room, with its state, and no other', async (t) => {
  const id = await add(db, args);
  const other = await add(db, `'other'`);
  const found = async () => {
    const rows = await db.sql('select *, timeout::text, retry_base::text, retry_max::text from pgmill.find_job($1)', [
      id,
    ]);
    t.equal(rows.length, 1);
    t.match(rows[0], { id, ...common, timeout: '00:00:07', retry_base: '00:00:08', retry_max: '00:00:09' });
    t.ok(rows[0].created_at instanceof Date);
    return rows[0];
  };
  const nobody = {
    worker: null,
    claimed_at: null,
    lease_until: null,
    cancel_requested: false,
    finished_at: null,
    result: null,
  };

  t.match(await found(), { state: 'ready', attempts: 0, errors: [], ...nobody });
  let [lease] = await claim(db, 'mail');
  t.match(await found(), {
    state: 'running',
    attempts: 1,
    worker: 'tester',
    claimed_at: Date,
    lease_until: Date,
    errors: [],
  });
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, lease?.token]);
  t.match(await found(), { state: 'scheduled', attempts: 1, ...nobody });
  t.match((await found()).errors, [{ attempt: 1, reason: 'error', message: 'no luck', worker: 'tester' }]);
  await db.sql('update pgmill.waiting set run_at = now() where id = $1', [id]);
  [lease] = await claim(db, 'mail');
  await db.sql(`select pgmill.complete_job($1, $2, '{"sent":true}')`, [id, lease?.token]);
  t.match(await found(), { state: 'completed', attempts: 2, worker: 'tester', finished_at: Date, lease_until: null });
  t.same((await found()).result, { sent: true });

  t.equal(await value(db, 'select state from pgmill.find_job($1)', [other]), 'ready');
});

t.test('finds failed and cancelled jobs', async (t) => {
  const id = await failed(db);
  t.match(await db.sql('select * from pgmill.find_job($1)', [id]), [{ state: 'failed', attempts: 1, errors: [{}] }]);
  const cancelled = await add(db);
  await db.sql('select pgmill.cancel_job($1)', [cancelled]);
  t.match(await db.sql('select * from pgmill.find_job($1)', [cancelled]), [{ state: 'cancelled', worker: null }]);
});

t.test('finds nothing where there is no such job, and none that was forgotten', async (t) => {
  const { id, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2, keep => false)', [id, token]);
  for (const none of [id, 0, -1, '9223372036854775807']) {
    t.same(await db.sql('select * from pgmill.find_job($1)', [none]), [], `${none}`);
  }
});

t.test('a job on its way between two rooms is seen once, where it was', async (t) => {
  const id = await add(db);
  const client = await db.client();
  await client.query('begin');
  await claim(client);
  t.match(await db.sql('select id, state from pgmill.find_job($1)', [id]), [{ id, state: 'ready' }]);
  await client.query('commit');
  t.match(await db.sql('select id, state from pgmill.find_job($1)', [id]), [{ id, state: 'running' }]);
});

t.test('refuses no id', async (t) => {
  await refused(t, db, ['find_job(null)']);
});

t.test('changes nothing', async (t) => {
  const id = await add(db);
  const before = await rooms(db);
  await db.sql('select * from pgmill.find_job($1)', [id]);
  await changed(t, db, before, [], 'all jobs are as they were');
});

t.test('an administrator may use it without any right to the tables', async (t) => {
  const id = await add(db);
  const client = await db.client();
  await client.query('set role pgmill_admin');
  t.equal(await value(client, 'select id from pgmill.find_job($1)', [id]), id);
  await t.rejects(client.query('select * from pgmill.job'), { code: '42501' });
  await client.query('set role pgmill_observer');
  await t.rejects(client.query('select * from pgmill.find_job($1)', [id]), { code: '42501' });
});
