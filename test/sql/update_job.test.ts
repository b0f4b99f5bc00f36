import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, claim, empty, failed, refused, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const update = (id: string, args: string): Promise<boolean> => value(db, `select pgmill.update_job($1, ${args})`, [id]);
const look = async (id: string) =>
  (await db.sql('select *, timeout::text, retry_base::text, retry_max::text from pgmill.job where id = $1', [id]))[0];

const full = `'send', '{"to":"x"}', 'mail', 3, max_attempts => 4, timeout => '7 s', retry_base => '8 s', retry_max => '9 s', unique_key => 'k'`;
const changes: [args: string, change: object][] = [
  [`payload => '{"to":"y"}'`, { payload: { to: 'y' } }],
  ['priority => -1', { priority: -1 }],
  ['max_attempts => 9', { max_attempts: 9 }],
  [`timeout => '1 hour'`, { timeout: '01:00:00' }],
  [`retry_base => '0'`, { retry_base: '00:00:00' }],
  [`retry_max => '1 day'`, { retry_max: '1 day' }],
];

for (const room of ['ready', 'scheduled'] as const) {
  t.test(`changes what is given of a ${room} job, and leaves the rest and all other jobs`, async (t) => {
    const id = await add(db, room === 'ready' ? full : `${full}, run_at => '2100-01-01Z'`);
    await add(db, `'a', run_at => '2100-01-01Z'`);
    await add(db);
    for (const [args, change] of changes) {
      const was = await look(id);
      const before = await rooms(db);
      t.equal(await update(id, args), true, args);
      await changed(t, db, before, [id], 'only this job');
      t.same(await look(id), { ...was, ...change }, 'and only this of it');
    }
    const before = await rooms(db);
    t.equal(await update(id, 'null'), true, 'with nothing given, nothing changes');
    await changed(t, db, before, [], 'nothing has changed');
  });
}

t.test('changes a job that waits for its retry, which keeps its errors and its place', async (t) => {
  const { id, token } = await run(db);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, token]);
  const was = await look(id);
  t.equal(await update(id, 'priority => 1'), true);
  t.same(await look(id), { ...was, priority: 1 });
});

t.test('a later run_at sends a ready job back, an earlier or past one makes a scheduled job ready', async (t) => {
  const id = await add(db, `'a', unique_key => 'k'`);
  const was = await look(id);
  t.equal(await update(id, `run_at => '2100-01-01Z'`), true);
  t.same(await look(id), { ...was, state: 'scheduled', run_at: new Date('2100-01-01Z') });
  t.same(await claim(db), []);
  t.equal(await update(id, `run_at => '2099-01-01Z'`), true);
  t.match(await look(id), { state: 'scheduled', run_at: new Date('2099-01-01Z') });
  t.equal(await update(id, `run_at => '2001-01-01Z'`), true);
  const { state, run_at } = await look(id);
  t.equal(state, 'ready');
  t.ok(Math.abs(run_at - Date.now()) < 60_000, 'the past means now, as for add_job');
  t.same(await db.sql('select id from pgmill.job_key'), [{ id }], 'it has held its key all the time');
  t.equal((await claim(db)).length, 1);
});

t.test('wakes a worker that sleeps', async (t) => {
  const id = await add(db, `'a', run_at => '2100-01-01'`);
  const [sleeper, listener] = [await db.client(), await db.client()];
  let heard = 0;
  listener.on('notification', () => heard++);
  await listener.query('listen pgmill');
  await sleeper.query(`select pgmill.enter_sleep('{default}')`);
  await update(id, 'run_at => now()');
  await listener.query('select 1');
  t.equal(heard, 1);
});

t.test('false for a job that has ended, and for none at all', async (t) => {
  const { id, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
  const gone = await add(db);
  await db.sql('select pgmill.cancel_job($1)', [gone]);
  const ended = [id, gone, await failed(db), '0', '-1', '9223372036854775807'];
  const before = await rooms(db);
  for (const each of ended) t.equal(await update(each, 'priority => 1'), false, each);
  await changed(t, db, before, [], 'nothing has changed');
});

t.test('PM005 for a job that runs, without a word of its payload', async (t) => {
  const { id } = await run(db, `'a', '{"secret":1}'`);
  const before = await rooms(db);
  const error = await db.sql(`select pgmill.update_job($1, '{"secret":2}')`, [id]).catch((error) => error);
  t.match(error, { code: 'PM005', hint: /\w/ });
  t.notMatch(`${error.message} ${error.detail} ${error.hint}`, /secret/);
  await changed(t, db, before, [], 'nothing has changed');
});

t.test('max_attempts must leave one attempt', async (t) => {
  const { id, token } = await run(db, `'a', max_attempts => 5, retry_base => '0'`);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, token]);
  await db.sql('update pgmill.waiting set attempts = 3');
  await refused(t, db, [`update_job(${id}, max_attempts => 3)`, `update_job(${id}, max_attempts => 1)`]);
  t.equal(await update(id, 'max_attempts => 4'), true);
  t.match(await look(id), { attempts: 3, max_attempts: 4 });
});

t.test('refuses each argument that makes no sense', async (t) => {
  const id = await add(db);
  await refused(t, db, [
    'update_job(null)',
    'update_job(null, priority => 1)',
    `update_job(${id}, to_jsonb(repeat('x', 1048577)))`,
    `update_job(${id}, run_at => 'infinity')`,
    `update_job(${id}, run_at => '-infinity')`,
    `update_job(${id}, max_attempts => 0)`,
    `update_job(${id}, max_attempts => -1)`,
    `update_job(${id}, max_attempts => 1001)`,
    `update_job(${id}, timeout => '0')`,
    `update_job(${id}, timeout => '-1 s')`,
    `update_job(${id}, timeout => '366 days 1 s')`,
    `update_job(${id}, retry_base => '-1 s')`,
    `update_job(${id}, retry_base => '366 days 1 s')`,
    `update_job(${id}, retry_max => '-1 s')`,
    `update_job(${id}, retry_max => '3660 days 1 s')`,
    `update_job(77777, priority => 1, timeout => '0')`,
  ]);
});

t.test('a claim that has not committed is waited for: PM005 when it does, else the job is changed', async (t) => {
  for (const end of ['commit', 'rollback'] as const) {
    await empty(db);
    const id = await add(db);
    const [worker, updater] = [await db.client(), await db.client()];
    await worker.query('begin');
    await claim(worker);
    const { result } = await whileBlocked(db, updater, 'select pgmill.update_job($1, priority => 1) as done', [id]);
    await worker.query(end);
    if (end === 'commit') await t.rejects(result, { code: 'PM005' });
    else t.same(await result, [{ done: true }]);
    t.match(await look(id), end === 'commit' ? { state: 'running', priority: 5 } : { state: 'ready', priority: 1 });
  }
});

const moves: [name: string, move: string, result: boolean, job: object][] = [
  ['let in', `select pgmill.admit_due('{default}', now(), 10)`, true, { state: 'ready', priority: 1 }],
  [
    'made ready by another update',
    'select pgmill.update_job($1, run_at => now())',
    true,
    { state: 'ready', priority: 1 },
  ],
  [
    'put off by another update',
    `select pgmill.update_job($1, run_at => '2100-01-01')`,
    true,
    { state: 'scheduled', priority: 1 },
  ],
  ['cancelled', 'select pgmill.cancel_job($1)', false, { state: 'cancelled', priority: 5 }],
];
for (const [name, move, result, job] of moves) {
  t.test(`a job that is just being ${name} is waited for`, async (t) => {
    const id = await add(db, `'a', run_at => '2100-01-01'`);
    await db.sql(`update pgmill.waiting set run_at = now() - interval '1 second'`);
    const [mover, updater] = [await db.client(), await db.client()];
    await mover.query('begin');
    await mover.query(move, move.includes('$1') ? [id] : []);
    const { result: done } = await whileBlocked(db, updater, 'select pgmill.update_job($1, priority => 1) as done', [
      id,
    ]);
    await mover.query('commit');
    t.same(await done, [{ done: result }]);
    t.match(await look(id), job);
    t.equal(await value(db, 'select count(*)::int from pgmill.job'), 1);
  });
}

t.test('a worker that claims meanwhile passes over the job', async (t) => {
  const [id, other] = [await add(db), await add(db)];
  const updater = await db.client();
  await updater.query('begin');
  await updater.query('select pgmill.update_job($1, priority => 9)', [id]);
  t.same(
    (await claim(db)).map((lease) => lease.id),
    [other],
  );
  await updater.query('commit');
  t.same(
    (await claim(db)).map((lease) => lease.id),
    [id],
  );
});
