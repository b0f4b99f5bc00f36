// reclaim: jobs whose worker went away.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, matches, room, unchanged } from './contents.js';
import { add, changed, claim, empty, type Lease, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const reclaim = async (args = ''): Promise<number> => Number(await value(db, `select pgmill.reclaim(${args})`));
/** Has the leases of these jobs run out so many seconds ago; of all when none is named. */
const expire = (ids: string[] | null = null, seconds = 1) =>
  db.sql(
    `update pgmill.running set lease_until = clock_timestamp() - make_interval(secs => $2)
     where $1::bigint[] is null or id = any ($1)`,
    [ids, seconds],
  );

t.test('a lost lease is an ordinary failure, with the reason lease_expired', async (t) => {
  const lost = await run(db, `'a', '{"b": 1}', unique_key => 'k'`);
  const alive = await run(db, `'a', unique_key => 'l'`);
  await add(db);
  await expire([lost.id]);
  const [was] = await room(db, 'running');
  const before = await rooms(db);
  t.equal(await reclaim(), 1);
  await changed(t, db, before, [lost.id], 'the job whose lease has not run out stays, and so do the keys');
  const [is] = await room(db, 'waiting');
  const {
    worker,
    token: _,
    claimed_at: __,
    lease_until: ___,
    cancel_requested: ____,
    run_at: _____,
    ...same
  } = was as Record<string, unknown>;
  const error = { attempt: 1, reason: 'lease_expired', message: 'The lease ran out.', worker };
  t.match(is, { ...same, attempts: 1, errors: [error] });
  const after = `extract(epoch from run_at - (errors -> 0 ->> 'at')::timestamptz)::float`;
  const seconds = await value(db, `select ${after} from pgmill.waiting`);
  t.ok(seconds >= 115 && seconds <= 125, `with the backoff of any failure: ${seconds}`);
  t.equal(await reclaim(), 0, 'a second time there is nothing left');
  t.same(await claim(db, 'other'), []);
  t.ok(alive);
});

t.test('nothing to reclaim is zero', async (t) => {
  t.equal(await reclaim(), 0);
  await run(db);
  const before = await contents(db);
  t.equal(await reclaim(), 0);
  await unchanged(t, db, before, 'nothing changes');
});

t.test('a job that kills its worker each time runs max_attempts times, then it has failed', async (t) => {
  const id = await add(db, `'deadly', max_attempts => 3, retry_base => '0', unique_key => 'k'`);
  const other = await add(db, `'other'`);
  for (let attempt = 1; attempt <= 3; attempt++) {
    const claimed = await db.sql(`select id, attempt, max_attempts from pgmill.get_jobs('w', 5, names => '{deadly}')`);
    matches(t, claimed, [{ id, attempt, max_attempts: 3 }]);
    await expire();
    t.equal(await reclaim(), 1);
  }
  t.same(await db.sql(`select id from pgmill.get_jobs('w', 5, names => '{deadly}')`), [], 'it never comes back');
  const [job] = await db.sql('select state, attempts, errors, finished_at, worker from pgmill.job where id = $1', [id]);
  t.match(job, { state: 'failed', attempts: 3, worker: 'w', finished_at: Date });
  t.same(
    job.errors.map((error: { attempt: number; reason: string }) => `${error.attempt} ${error.reason}`),
    ['1 lease_expired', '2 lease_expired', '3 lease_expired'],
  );
  t.same(await room(db, 'job_key'), [], 'its key is free');
  t.equal((await claim(db))[0]?.id, other, 'others go on');
});

t.test('a job that was asked to stop and whose worker is gone is cancelled', async (t) => {
  const lost = await run(db, `'a', unique_key => 'k'`);
  await run(db);
  await db.sql('update pgmill.running set cancel_requested = true where id = $1', [lost.id]);
  await expire([lost.id]);
  t.equal(await reclaim(), 1);
  matches(t, await room(db, 'finished'), [
    { id: Number(lost.id), state: 'cancelled', attempts: 1, errors: [{ reason: 'lease_expired' }] },
  ]);
  t.same(await room(db, 'job_key'), []);
  t.equal((await room(db, 'running')).length, 1);
});

t.test('a lease that was extended in time is not reclaimed', async (t) => {
  const { id, token } = await run(db);
  await expire();
  await db.sql('select pgmill.extend_leases(array[$1::bigint], array[$2::uuid])', [id, token]);
  t.equal(await reclaim(), 0);
  t.equal((await room(db, 'running')).length, 1);
});

t.test('takes the longest expired first, at most max_jobs', async (t) => {
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push((await run(db)).id);
  for (const [n, id] of ids.entries()) await expire([id], [20, 40, 10, 30][n]);
  t.equal(await reclaim('2'), 2);
  t.same(
    (await room(db, 'waiting')).map(({ id }) => `${id}`),
    [ids[1], ids[3]],
  );
  t.equal(await reclaim('max_jobs => 1'), 1);
  t.same(
    (await room(db, 'running')).map(({ id }) => `${id}`),
    [ids[2]],
  );
  t.equal(await reclaim(), 1);
});

t.test('passes over jobs that are just being settled or extended, without waiting', async (t) => {
  const leases: Lease[] = [];
  for (let n = 0; n < 5; n++) leases.push(await run(db));
  await expire();
  const settlers: [string, (lease: Lease) => string][] = [
    ['complete', ({ id, token }) => `select pgmill.complete_job(${id}, '${token}')`],
    ['fail', ({ id, token }) => `select pgmill.fail_job(${id}, '${token}', 'x')`],
    ['extend', ({ id, token }) => `select pgmill.extend_leases('{${id}}', '{${token}}')`],
    ['release', ({ id, token }) => `select pgmill.release_jobs('{${id}}', '{${token}}')`],
  ];
  const clients = [];
  for (const [n, [, call]] of settlers.entries()) {
    const client = await db.client();
    clients.push(client);
    await client.query(`begin; ${call(leases[n] as Lease)}`);
  }
  await db.sql(`alter function pgmill.reclaim set lock_timeout = '1ms'`);
  t.equal(await reclaim(), 1, 'only the one that nobody settles');
  await db.sql('alter function pgmill.reclaim reset lock_timeout');
  for (const client of clients) await client.query('commit');
  const states = await db.sql('select id, state from pgmill.job order by id');
  t.same(
    states.map(({ state }) => state),
    ['completed', 'scheduled', 'running', 'ready', 'scheduled'],
  );
  t.same(
    await value(db, 'select errors -> 0 ->> $$reason$$ from pgmill.waiting order by id desc limit 1'),
    'lease_expired',
  );
  t.equal(await reclaim(), 0, 'the settled ones are settled, the extended one is extended');
});

t.test('a worker that settles while its job is being reclaimed waits, and has lost it', async (t) => {
  const { id, token } = await run(db);
  await expire();
  const [reclaimer, worker] = [await db.client(), await db.client()];
  await reclaimer.query('begin; select pgmill.reclaim()');
  const call = 'select outcome from pgmill.complete_jobs(array[$1::bigint], array[$2::uuid])';
  const { result } = await whileBlocked(db, worker, call, [id, token]);
  await reclaimer.query('commit');
  t.same(await result, [{ outcome: 'lease_lost' }]);
  matches(t, await room(db, 'waiting'), [{ id: Number(id), attempts: 1 }]);

  await db.sql('update pgmill.waiting set run_at = clock_timestamp()');
  const [again] = (await claim(db)) as [Lease];
  await expire();
  await reclaimer.query('begin; select pgmill.reclaim()');
  const second = await whileBlocked(db, worker, call, [again.id, again.token]);
  await reclaimer.query('rollback');
  t.same(await second.result, [{ outcome: 'completed' }], 'unless the reclaim is rolled back');
});

t.test('two reclaim at the same time: each job once', async (t) => {
  for (let n = 0; n < 3; n++) await run(db);
  await expire();
  const [one, two] = [await db.client(), await db.client()];
  await two.query(`set lock_timeout = '1ms'`);
  await one.query('begin');
  t.equal(await value(one, 'select pgmill.reclaim(2)'), '2');
  t.equal(await value(two, 'select pgmill.reclaim()'), '1', 'the second takes what is left, and does not wait');
  await one.query('commit');
  t.same(
    (await room(db, 'waiting')).map(({ attempts, errors }) => [attempts, (errors as unknown[]).length]),
    Array(3).fill([1, 1]),
  );
});
