import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, claim, empty, failed, refused, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const retry = (id: string): Promise<boolean> => value(db, 'select pgmill.retry_job($1)', [id]);
const look = async (id: string) => (await db.sql('select * from pgmill.job where id = $1', [id]))[0];
const holders = async () => (await db.sql('select id from pgmill.job_key order by id')).map(({ id }) => id);

t.test('a failed job comes back under its id, due now, with all its attempts and its errors', async (t) => {
  const args = `'send', '{"to":"x"}', 'mail', 3, max_attempts => 4, timeout => '7 s', retry_base => '8 s', retry_max => '9 s', unique_key => 'k'`;
  const id = await failed(db, args, 'mail');
  const other = await failed(db);
  await db.sql(`update pgmill.finished set run_at = '2020-01-01'`);
  const was = await look(id);
  const before = await rooms(db);
  t.equal(await retry(id), true);
  await changed(t, db, before, [id, null], 'only this job, and its key');
  const is = await look(id);
  t.match(is, {
    state: 'ready',
    attempts: 0,
    worker: null,
    claimed_at: null,
    finished_at: null,
    errors: [{ message: 'no luck' }],
  });
  t.ok(Math.abs(is.run_at - Date.now()) < 60_000, 'due now');
  const { state, attempts, run_at, worker, claimed_at, finished_at, ...rest } = is;
  t.match(was, rest, 'everything else is as it was');
  t.same(await holders(), [id]);

  const [lease] = await db.sql(`select * from pgmill.get_jobs('tester', 1, '{mail}')`);
  t.match(lease, { id, attempt: 1, max_attempts: 4, payload: { to: 'x' } });
  await db.sql(`select pgmill.fail_job($1, $2, 'again', final => true)`, [id, lease.token]);
  t.match(await look(id), { state: 'failed', errors: [{ message: 'no luck' }, { message: 'again', attempt: 1 }] });
  t.match(await look(other), { state: 'failed' });
});

t.test('a cancelled job comes back, and wakes a worker that sleeps', async (t) => {
  const id = await add(db, `'a', run_at => '2100-01-01'`);
  await db.sql('select pgmill.cancel_job($1)', [id]);
  const [sleeper, listener] = [await db.client(), await db.client()];
  let heard = 0;
  listener.on('notification', () => heard++);
  await listener.query('listen pgmill');
  await sleeper.query(`select pgmill.enter_sleep('{default}')`);
  t.equal(await retry(id), true);
  await listener.query('select 1');
  t.equal(heard, 1);
  t.match(await look(id), { state: 'ready' });
});

t.test('false for a job in any other state, and for none at all', async (t) => {
  const { id: done, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2)', [done, token]);
  const { id: running } = await run(db);
  const others = [
    done,
    running,
    await add(db),
    await add(db, `'a', run_at => '2100-01-01'`),
    '0',
    '-1',
    '9223372036854775807',
  ];
  const before = await rooms(db);
  for (const id of others) t.equal(await retry(id), false, id);
  await changed(t, db, before, [], 'nothing has changed');
});

t.test('the lease of the attempt before is worth nothing', async (t) => {
  const { id, token } = await run(db);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', final => true)`, [id, token]);
  await retry(id);
  await claim(db);
  await t.rejects(db.sql('select pgmill.complete_job($1, $2)', [id, token]), { code: 'PM002' });
  t.match(await look(id), { state: 'running' });
});

t.test('PM004 while another live job holds its unique_key, in whatever room', async (t) => {
  const id = await failed(db, `'secret', '{"secret":1}', unique_key => 'secret'`);
  const holder = await add(db, `'a', unique_key => 'secret'`);
  await add(db, `'a', queue => 'other', unique_key => 'secret'`);
  const refuse = async (state: string) => {
    const before = await rooms(db);
    const error = await db.sql('select pgmill.retry_job($1)', [id]).catch((error) => error);
    t.match(error, { code: 'PM004', hint: /\w/ }, state);
    t.match(error.message, holder, 'it says which job');
    t.notMatch(`${error.message} ${error.detail}`, /secret/);
    await changed(t, db, before, [], 'nothing has changed');
  };
  await refuse('ready');
  await db.sql(`select pgmill.update_job($1, run_at => '2100-01-01')`, [holder]);
  await refuse('scheduled');
  await db.sql('update pgmill.waiting set run_at = now()');
  const [lease] = await claim(db);
  await refuse('running');
  await db.sql('select pgmill.complete_job($1, $2)', [holder, lease?.token]);
  t.equal(await retry(id), true, 'and not any more when it has ended');
  t.equal((await look(id)).state, 'ready');
});

t.test('refuses no id', async (t) => {
  await refused(t, db, ['retry_job(null)']);
});

t.test('waits for a transaction that takes its key, and is refused when that commits', async (t) => {
  for (const end of ['commit', 'rollback'] as const) {
    await empty(db);
    const id = await failed(db, `'a', unique_key => 'k'`);
    const [adder, retrier] = [await db.client(), await db.client()];
    await adder.query('begin');
    const holder = await value(adder, `select pgmill.add_job('a', unique_key => 'k')`);
    const { result } = await whileBlocked(db, retrier, 'select pgmill.retry_job($1) as done', [id]);
    await adder.query(end);
    if (end === 'commit') {
      await t.rejects(result, { code: 'PM004' });
      t.match(await look(id), { state: 'failed' });
      t.same(await holders(), [holder]);
    } else {
      t.same(await result, [{ done: true }]);
      t.match(await look(id), { state: 'ready' });
      t.same(await holders(), [id]);
    }
  }
});

t.test('waits for a transaction that frees its key, and takes it when that commits', async (t) => {
  for (const end of ['commit', 'rollback'] as const) {
    await empty(db);
    const id = await failed(db, `'a', unique_key => 'k'`);
    const { id: holder, token } = await run(db, `'a', unique_key => 'k'`);
    const [worker, retrier] = [await db.client(), await db.client()];
    await worker.query('begin');
    await worker.query('select pgmill.complete_job($1, $2)', [holder, token]);
    const { result } = await whileBlocked(db, retrier, 'select pgmill.retry_job($1) as done', [id]);
    await worker.query(end);
    if (end === 'commit') {
      t.same(await result, [{ done: true }]);
      t.same(await holders(), [id]);
    } else {
      await t.rejects(result, { code: 'PM004' });
      t.same(await holders(), [holder]);
    }
    t.equal(await value(db, 'select count(*)::int from pgmill.job'), 2);
  }
});

t.test('an adder waits for a retry that takes the key, and finds the old job live', async (t) => {
  const id = await failed(db, `'a', unique_key => 'k'`);
  const [retrier, adder] = [await db.client(), await db.client()];
  await retrier.query('begin');
  await retrier.query('select pgmill.retry_job($1)', [id]);
  const { result } = await whileBlocked(db, adder, `select pgmill.add_job('b', unique_key => 'k') as id`);
  await retrier.query('commit');
  t.same(await result, [{ id }]);
});

t.test('of two that retry one job at once, one does', async (t) => {
  const id = await failed(db, `'a', unique_key => 'k'`);
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  t.equal(await value(first, 'select pgmill.retry_job($1)', [id]), true);
  const { result } = await whileBlocked(db, second, 'select pgmill.retry_job($1) as done', [id]);
  await first.query('commit');
  t.same(await result, [{ done: false }]);
  t.equal(await value(db, 'select count(*)::int from pgmill.job'), 1);
});
