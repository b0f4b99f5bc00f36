import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, claim, empty, failed, refused, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const cancel = (id: string): Promise<boolean> => value(db, 'select pgmill.cancel_job($1)', [id]);
const look = async (id: string) => (await db.sql('select * from pgmill.job where id = $1', [id]))[0];

t.test('a scheduled job is cancelled at once, and its key is free', async (t) => {
  const id = await add(db, `'a', '{"n":1}', run_at => '2100-01-01', unique_key => 'k'`);
  await add(db, `'a', run_at => '2100-01-01', unique_key => 'other'`);
  const was = await look(id);
  const before = await rooms(db);
  t.equal(await cancel(id), true);
  await changed(t, db, before, [id, null], 'only this job and its key');
  const is = await look(id);
  t.match(is, { state: 'cancelled', finished_at: Date, worker: null, claimed_at: null, result: null });
  const { state: _, finished_at: __, ...rest } = is;
  t.match(was, rest, 'everything else of it is kept');
  t.same(await db.sql('select unique_key from pgmill.job_key'), [{ unique_key: 'other' }]);
  t.not(await add(db, `'a', unique_key => 'k'`), id, 'the key goes to the next job');
});

t.test('a ready job is cancelled at once, whichever slot of the ring it lies in', async (t) => {
  for (const slot of [0, 1, 2]) {
    await db.sql(`select setval('pgmill.ready_slot', $1)`, [slot]);
    const id = await add(db, `'a', unique_key => 'k'`);
    await add(db);
    const before = await rooms(db);
    t.equal(await cancel(id), true);
    await changed(t, db, before, [id, null], 'only this job and its key');
    t.match(await look(id), { state: 'cancelled', attempts: 0 });
  }
  t.equal((await claim(db)).length, 3, 'and no worker gets it');
});

t.test('a job waiting for its retry is cancelled at once, and keeps its errors', async (t) => {
  const { id, token } = await run(db);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, token]);
  t.equal(await cancel(id), true);
  t.match(await look(id), {
    state: 'cancelled',
    attempts: 1,
    errors: [{ message: 'no luck', worker: 'tester' }],
    worker: null,
  });
});

t.test('a running job is asked to stop, once, and its worker is notified', async (t) => {
  const listener = await db.client();
  const heard: (string | undefined)[] = [];
  listener.on('notification', ({ channel, payload }) => heard.push(`${channel}:${payload}`));
  await listener.query('listen pgmill_cancel');
  const { id, token } = await run(db);
  await run(db);
  const before = await rooms(db);
  t.equal(await cancel(id), true);
  await changed(t, db, before, [id], 'only this job');
  t.match(await look(id), { state: 'running', cancel_requested: true });
  t.equal(await cancel(id), false, 'a second time nothing happens');
  await listener.query('select 1');
  t.same(heard, ['pgmill_cancel:']);
  t.same(await db.sql('select * from pgmill.extend_leases(array[$1]::bigint[], array[$2]::uuid[])', [id, token]), [
    { id, outcome: 'cancel_requested' },
  ]);
});

t.test('cancelling a job that does not run notifies nobody', async (t) => {
  const listener = await db.client();
  let heard = 0;
  listener.on('notification', () => heard++);
  await listener.query('listen pgmill_cancel');
  t.equal(await cancel(await add(db)), true);
  t.equal(await cancel('77777'), false);
  await listener.query('select 1');
  t.equal(heard, 0);
});

t.test('a running job that was asked is cancelled by every ending but completion', async (t) => {
  const endings = {
    cancelled: [
      `pgmill.fail_job($1, $2, 'stopped')`,
      'pgmill.release_jobs(array[$1]::bigint[], array[$2]::uuid[])',
      `pgmill.snooze_job($1, $2, '2100-01-01')`,
    ],
    completed: ['pgmill.complete_job($1, $2)'],
  };
  for (const [state, calls] of Object.entries(endings)) {
    for (const call of calls) {
      const { id, token } = await run(db, `'a', unique_key => 'k'`);
      t.equal(await cancel(id), true);
      await db.sql(`select ${call}`, [id, token]);
      t.match(await look(id), { state, cancel_requested: false }, call);
      t.equal(await value(db, 'select count(*)::int from pgmill.job_key'), 0, 'and the key is free');
    }
  }
  const { id } = await run(db);
  await cancel(id);
  await db.sql(`update pgmill.running set lease_until = now() - interval '1 second'`);
  await db.sql('select pgmill.reclaim()');
  t.match(await look(id), { state: 'cancelled', errors: [{ reason: 'lease_expired' }] });
});

t.test('false for a job that has ended, and for none at all', async (t) => {
  const { id, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
  const gone = await add(db);
  await cancel(gone);
  const ended = [id, await failed(db), gone, '0', '-1', '9223372036854775807'];
  const before = await rooms(db);
  for (const each of ended) t.equal(await cancel(each), false, each);
  await changed(t, db, before, [], 'nothing has changed');
});

t.test('refuses no id', async (t) => {
  await refused(t, db, ['cancel_job(null)']);
});

// Two connections: the first is in the middle of a move, the second cancels and has to wait for it.
const moves: [
  name: string,
  first: 'ready' | 'running' | 'scheduled',
  move: string,
  result: boolean,
  state: string,
  asked: boolean,
][] = [
  ['claimed', 'ready', `select * from pgmill.get_jobs('other', 10)`, true, 'running', true],
  ['let in', 'scheduled', `select pgmill.admit_due('{default}', now(), 10)`, true, 'cancelled', false],
  ['let in and claimed', 'scheduled', `select * from pgmill.get_jobs('other', 10)`, true, 'running', true],
  ['completed', 'running', 'select pgmill.complete_job($1, $2)', false, 'completed', false],
  ['failed for good', 'running', `select pgmill.fail_job($1, $2, 'x', final => true)`, false, 'failed', false],
  ['failed and put off', 'running', `select pgmill.fail_job($1, $2, 'x')`, true, 'cancelled', false],
  [
    'released',
    'running',
    'select pgmill.release_jobs(array[$1]::bigint[], array[$2]::uuid[])',
    true,
    'cancelled',
    false,
  ],
  ['snoozed', 'running', `select pgmill.snooze_job($1, $2, '2100-01-01')`, true, 'cancelled', false],
  [
    'extended',
    'running',
    `select pgmill.extend_leases(array[$1]::bigint[], array[$2]::uuid[], '1 hour')`,
    true,
    'running',
    true,
  ],
  ['made later', 'ready', `select pgmill.update_job($1, run_at => '2100-01-01')`, true, 'cancelled', false],
  [
    'replaced',
    'ready',
    `select pgmill.add_job('b', unique_key => 'k', on_duplicate => 'replace')`,
    true,
    'cancelled',
    false,
  ],
  ['cancelled', 'ready', 'select pgmill.cancel_job($1)', false, 'cancelled', false],
  ['cancelled while it runs', 'running', 'select pgmill.cancel_job($1)', false, 'running', true],
];
for (const [name, first, move, result, state, asked] of moves) {
  t.test(`a job that is just being ${name} is waited for`, async (t) => {
    const [mover, canceller] = [await db.client(), await db.client()];
    const id = await add(db, `'a', unique_key => 'k'`);
    const [lease] = first === 'running' ? await claim(db) : [];
    if (first === 'scheduled') {
      await db.sql(`select pgmill.update_job($1, run_at => '2100-01-01')`, [id]);
      await db.sql(`update pgmill.waiting set run_at = now() - interval '1 second'`);
    }
    const other = await add(db, `'c', queue => 'other', unique_key => 'k'`);
    const was = (await rooms(db)).get(other);
    await mover.query('begin');
    const params = [id, lease?.token].slice(0, move.includes('$2') ? 2 : move.includes('$1') ? 1 : 0);
    await mover.query(move, params);
    const { result: cancelled } = await whileBlocked(db, canceller, 'select pgmill.cancel_job($1) as done', [id]);
    await mover.query('commit');
    t.same(await cancelled, [{ done: result }]);
    const job = await look(id);
    t.match(job, { state, cancel_requested: asked });
    if (name === 'extended') t.ok(job.lease_until > Date.now() + 1_800_000, 'and the lease stays extended');
    const live = ['ready', 'running', 'scheduled'].includes(state);
    t.equal(
      await value(db, `select count(*)::int from pgmill.job_key where queue = 'default'`),
      live ? 1 : 0,
      'its key',
    );
    t.equal((await rooms(db)).get(other), was, 'another job is left alone');
  });

  t.test(`a job that was nearly ${name} is cancelled where it was`, async (t) => {
    const [mover, canceller] = [await db.client(), await db.client()];
    const id = await add(db, `'a', unique_key => 'k'`);
    const [lease] = first === 'running' ? await claim(db) : [];
    if (first === 'scheduled') {
      await db.sql(`select pgmill.update_job($1, run_at => '2100-01-01')`, [id]);
      await db.sql(`update pgmill.waiting set run_at = now() - interval '1 second'`);
    }
    await mover.query('begin');
    const params = [id, lease?.token].slice(0, move.includes('$2') ? 2 : move.includes('$1') ? 1 : 0);
    await mover.query(move, params);
    const { result: cancelled } = await whileBlocked(db, canceller, 'select pgmill.cancel_job($1) as done', [id]);
    await mover.query('rollback');
    t.same(await cancelled, [{ done: true }]);
    const runs = first === 'running';
    t.match(await look(id), { state: runs ? 'running' : 'cancelled', cancel_requested: runs });
  });
}

t.test('the row is locked: a worker that claims meanwhile passes over it', async (t) => {
  const canceller = await db.client();
  const [id, other] = [await add(db), await add(db)];
  await canceller.query('begin');
  t.equal(await value(canceller, 'select pgmill.cancel_job($1)', [id]), true);
  t.same(
    (await claim(db)).map((lease) => lease.id),
    [other],
  );
  await canceller.query('rollback');
  t.same(
    (await claim(db)).map((lease) => lease.id),
    [id],
    'it is there again when the cancelling is undone',
  );
});
