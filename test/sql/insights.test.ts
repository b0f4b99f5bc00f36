import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, empty, failed, rooms, run, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const zero = {
  ready: '0',
  scheduled: '0',
  retrying: '0',
  running: '0',
  completed: '0',
  failed: '0',
  cancelled: '0',
  oldest_ready_age: null,
  average_wait: null,
  average_run: null,
};

t.test('no rows where there are no jobs', async (t) => {
  t.same(await db.sql('select * from pgmill.insights()'), []);
});

t.test('counts the jobs of each queue and name by state, also those that have only ended ones', async (t) => {
  const later = `run_at => '2100-01-01'`;
  for (let i = 0; i < 2; i++) await add(db, `'b', queue => 'q'`);
  for (let i = 0; i < 3; i++) await add(db, `'b', queue => 'q', ${later}`);
  const { id, token } = await run(db, `'a'`);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, token]);
  await run(db, `'a'`);
  await failed(db, `'z', queue => 'ended'`, 'ended');
  const done = await run(db, `'y', queue => 'ended'`, 'ended');
  await db.sql('select pgmill.complete_job($1, $2)', [done.id, done.token]);
  await db.sql('select pgmill.cancel_job($1)', [await add(db, `'y', queue => 'ended', ${later}`)]);
  const before = await rooms(db);
  const rows = await db.sql('select * from pgmill.insights()');
  await changed(t, db, before, [], 'it changes nothing');
  const counts = rows.map(({ oldest_ready_age, average_wait, average_run, ...row }) => ({ ...zero, ...row }));
  t.same(counts, [
    { ...zero, queue: 'default', name: 'a', retrying: '1', running: '1' },
    { ...zero, queue: 'ended', name: 'y', completed: '1', cancelled: '1' },
    { ...zero, queue: 'ended', name: 'z', failed: '1' },
    { ...zero, queue: 'q', name: 'b', ready: '2', scheduled: '3' },
  ]);
});

t.test('adds up to what is in the rooms, for many queues, names and states, in all slots', async (t) => {
  await db.sql(`select setseed(0.5)`);
  const columns =
    'id, queue, name, payload, priority, run_at, attempts, max_attempts, retry_base, retry_max, created_at';
  const job = (run_at: string) =>
    `nextval('pgmill.job_id'), 'q' || (random() * 3)::int, 'n' || (random() * 4)::int, '{}', 5, ${run_at}, (random() * 2)::int, 3, '0', '0', now()`;
  await db.sql(
    `insert into pgmill.waiting (${columns}) select ${job(`now() + interval '1 hour'`)} from generate_series(1, 300)`,
  );
  await db.sql(
    `insert into pgmill.ready (${columns}, slot) select ${job(`now() - random() * interval '1 day'`)}, i % 3 from generate_series(1, 400) i`,
  );
  await db.sql(`insert into pgmill.running (${columns}, worker, token, claimed_at, lease_until)
    select ${job('now()')}, 'w', gen_random_uuid(), now(), now() from generate_series(1, 200)`);
  await db.sql(`insert into pgmill.finished (${columns}, state, finished_at)
    select ${job('now()')}, (array['completed', 'failed', 'cancelled'])[1 + i % 3], now() - random() * interval '6 days' from generate_series(1, 600) i`);
  const counts = 'ready, scheduled, retrying, running, completed, failed, cancelled';
  const expected = await db.sql(`
    select queue, name, count(*) filter (where state = 'ready') as ready,
      count(*) filter (where state = 'scheduled' and attempts = 0) as scheduled, count(*) filter (where state = 'scheduled' and attempts > 0) as retrying,
      count(*) filter (where state = 'running') as running, count(*) filter (where state = 'completed') as completed,
      count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'cancelled') as cancelled
    from pgmill.job group by queue, name order by queue, name`);
  t.equal(expected.length, 20);
  t.same(await db.sql(`select queue, name, ${counts} from pgmill.insights()`), expected);
  const late = await db.sql(`
    select i.queue, i.name from pgmill.insights() i
    join (select queue, name, min(run_at) as first from pgmill.ready group by queue, name) r using (queue, name)
    where abs(extract(epoch from clock_timestamp() - r.first - i.oldest_ready_age)) > 10`);
  t.same(late, [], 'and the oldest ready job of each is the oldest');
});

t.test('the age of the oldest ready job counts from its run_at', async (t) => {
  await add(db);
  const old = await add(db);
  await db.sql(`update pgmill.ready set run_at = now() - interval '2 days 3 hours' where id = $1`, [old]);
  await run(db, `'work', queue => 'other'`, 'other');
  const rows = await db.sql(
    `select queue, oldest_ready_age between '2 days 3 hours' and '2 days 3 hours 1 minute' as right from pgmill.insights() order by queue`,
  );
  t.same(rows, [
    { queue: 'default', right: true },
    { queue: 'other', right: null },
  ]);
});

t.test('averages over the jobs that completed or failed in the last hour', async (t) => {
  const end = async (state: string, ago: string, wait: string, ran: string) => {
    const { id, token } = await run(db);
    if (state === 'completed') await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
    if (state === 'failed') await db.sql(`select pgmill.fail_job($1, $2, 'x', final => true)`, [id, token]);
    if (state === 'cancelled') {
      await db.sql('select pgmill.cancel_job($1)', [id]);
      await db.sql(`select pgmill.fail_job($1, $2, 'x')`, [id, token]);
    }
    await db.sql(
      `update pgmill.finished set finished_at = now() - $2::interval, claimed_at = now() - $2::interval - $4::interval,
         run_at = now() - $2::interval - $4::interval - $3::interval where id = $1`,
      [id, ago, wait, ran],
    );
  };
  await end('completed', '1 minute', '10 s', '2 s');
  await end('completed', '59 minutes', '20 s', '4 s');
  await end('failed', '30 minutes', '60 s', '3 s');
  await end('completed', '61 minutes', '1 day', '1 day');
  await end('cancelled', '1 minute', '1 day', '1 day');
  const rows = await db.sql(
    'select completed, failed, cancelled, average_wait::text, average_run::text from pgmill.insights()',
  );
  t.same(rows, [{ completed: '3', failed: '1', cancelled: '1', average_wait: '00:00:30', average_run: '00:00:03' }]);
});

t.test('one snapshot: a job that is just being claimed is counted once', async (t) => {
  await add(db);
  const worker = await db.client();
  await worker.query('begin');
  await worker.query(`select pgmill.get_jobs('w', 1)`);
  t.match(await db.sql('select * from pgmill.insights()'), [{ ready: '1', running: '0' }]);
  await worker.query('commit');
  t.match(await db.sql('select * from pgmill.insights()'), [{ ready: '0', running: '1' }]);
});

t.test('an observer sees numbers and names, and nothing else of a job', async (t) => {
  await add(db, `'a', '{"secret":1}', unique_key => 'secret'`);
  const client = await db.client();
  await client.query('set role pgmill_observer');
  t.equal(await value(client, 'select ready from pgmill.insights()'), '1');
  for (const other of ['pgmill.find_jobs()', 'pgmill.job', 'pgmill.ready', 'pgmill.cleanup()']) {
    await t.rejects(client.query(`select * from ${other}`), { code: '42501' }, other);
  }
  const producer = await db.client();
  await producer.query('set role pgmill_producer');
  await t.rejects(producer.query('select * from pgmill.insights()'), { code: '42501' });
});
