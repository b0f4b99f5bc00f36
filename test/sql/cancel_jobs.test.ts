import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, blocked, changed, claim, empty, refused, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const cancel = async (args = ''): Promise<number> => Number(await value(db, `select pgmill.cancel_jobs(${args})`));
const states = async () =>
  Object.fromEntries(
    (await db.sql('select id, state, cancel_requested from pgmill.job')).map((job) => [
      job.id,
      job.cancel_requested ? 'asked' : job.state,
    ]),
  );

t.test('without a filter it cancels every live job and asks the running ones', async (t) => {
  const { id: done, token } = await run(db);
  await db.sql('select pgmill.complete_job($1, $2)', [done, token]);
  const running = [await run(db), await run(db)].map(({ id }) => id);
  const { id: retrying, token: bad } = await run(db, `'a', unique_key => 'a'`);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [retrying, bad]);
  const scheduled = await add(db, `'a', run_at => '2100-01-01', unique_key => 'b'`);
  const ready = await add(db, `'a', queue => 'other', unique_key => 'c'`);
  t.equal(await cancel(), 5);
  t.same(await states(), {
    [done]: 'completed',
    ...Object.fromEntries(running.map((id) => [id, 'asked'])),
    [retrying]: 'cancelled',
    [scheduled]: 'cancelled',
    [ready]: 'cancelled',
  });
  t.equal(await value(db, 'select count(*)::int from pgmill.job_key'), 0, 'the keys are free');
  t.equal(await cancel(), 0, 'a second time there is nothing left');
});

t.test('each filter leaves the others alone', async (t) => {
  const jobs = {
    name: [`'x'`, `name => 'x'`],
    queue: [`'a', queue => 'x'`, `queue => 'x'`],
    priority: [`'a', priority => -7`, 'priority => -7'],
    run_at: [`'a', run_at => '2100-01-05 00:00:00.000001Z'`, `run_at => '2100-01-05 00:00:00.000001Z'`],
    run_from: [`'a', run_at => '2100-01-06Z'`, `run_from => '2100-01-06Z'`],
    range: [`'a', run_at => '2100-01-02Z'`, `run_from => '2100-01-02Z', run_until => '2100-01-03Z'`],
    run_until: [
      `'a', run_at => '2100-01-01Z'`,
      `run_from => '2099-01-01Z', run_until => '2100-01-01 00:00:00.000001Z'`,
    ],
    unique_key: [`'a', run_at => '2100-01-04Z', unique_key => 'x'`, `unique_key => 'x'`],
  } as const;
  await run(db);
  for (const [filter, [args, call]] of Object.entries(jobs)) {
    const id = await add(db, args);
    for (const decoy of [`'a'`, `'a', run_at => '2100-01-03Z'`, `'a', run_at => '2100-01-05Z', unique_key => 'y'`]) {
      if (!decoy.includes('unique_key') || filter === 'name') await add(db, decoy);
    }
    const before = await rooms(db);
    t.equal(await cancel(call), 1, filter);
    await changed(t, db, before, filter === 'unique_key' ? [id, null] : [id], `${filter}: only this job`);
    t.equal((await states())[id], 'cancelled');
  }
});

t.test('the bounds of a range: from is in, until is out', async (t) => {
  const [first, second, third] = [
    await add(db, `'a', run_at => '2100-01-01Z'`),
    await add(db, `'a', run_at => '2100-01-02Z'`),
    await add(db, `'a', run_at => '2100-01-03Z'`),
  ];
  t.equal(await cancel(`run_from => '2100-01-02Z', run_until => '2100-01-02Z'`), 0, 'an empty range');
  t.equal(await cancel(`run_from => '2100-01-02Z', run_until => '2100-01-03Z'`), 1);
  t.same(await states(), { [`${first}`]: 'scheduled', [`${second}`]: 'cancelled', [`${third}`]: 'scheduled' });
  t.equal(await cancel(`run_until => '2100-01-03Z'`), 1);
  t.same(await states(), { [`${first}`]: 'cancelled', [`${second}`]: 'cancelled', [`${third}`]: 'scheduled' });
});

t.test('filters join with and, also for running jobs', async (t) => {
  const { id } = await run(db, `'x', priority => 3, unique_key => 'k'`);
  const twin = await add(db, `'x', priority => 3, queue => 'other', unique_key => 'k'`);
  for (const none of [
    `'x', priority => 4`,
    `'y', priority => 3`,
    `unique_key => 'k', queue => 'third'`,
    `unique_key => 'k', name => 'y'`,
  ]) {
    t.equal(await cancel(none), 0, none);
  }
  t.equal(await cancel(`'x', 'default', 3, unique_key => 'k'`), 1);
  t.same(await states(), { [id]: 'asked', [twin]: 'ready' });
  t.equal(await cancel(`unique_key => 'k'`), 1, 'the key in any queue; who was asked is not counted again');
  t.same(await states(), { [id]: 'asked', [twin]: 'cancelled' });
});

t.test('one notification for many running jobs', async (t) => {
  const listener = await db.client();
  const heard: (string | undefined)[] = [];
  listener.on('notification', ({ channel, payload }) => heard.push(`${channel}:${payload}`));
  await listener.query('listen pgmill_cancel');
  for (let i = 0; i < 5; i++) await add(db);
  await claim(db);
  t.equal(await cancel(), 5);
  await listener.query('select 1');
  t.same(heard, ['pgmill_cancel:']);
});

t.test('refuses each argument that makes no sense', async (t) => {
  await add(db);
  await run(db);
  await refused(t, db, [
    `cancel_jobs('')`,
    `cancel_jobs(repeat('x', 256))`,
    `cancel_jobs(queue => '')`,
    `cancel_jobs(queue => repeat('x', 256))`,
    `cancel_jobs(unique_key => '')`,
    `cancel_jobs(unique_key => repeat('x', 256))`,
    `cancel_jobs(run_at => 'infinity')`,
    `cancel_jobs(run_at => '-infinity')`,
    `cancel_jobs(run_from => 'infinity')`,
    `cancel_jobs(run_from => '-infinity')`,
    `cancel_jobs(run_until => 'infinity')`,
    `cancel_jobs(run_until => '-infinity')`,
    `cancel_jobs(run_from => '2026-01-02', run_until => '2026-01-01')`,
  ]);
});

t.test('misses no job while others are claimed, let in, failed and released in the same moment', async (t) => {
  const ids: string[] = [];
  for (let i = 0; i < 4; i++) ids.push(await add(db, `'a', unique_key => '${i}'`));
  const leases = (await claim(db)).slice(0, 2);
  for (let i = 0; i < 4; i++) ids.push(await add(db, `'a', unique_key => 'r${i}'`));
  await add(db, `'a', run_at => '2100-01-01'`);
  await db.sql('update pgmill.waiting set run_at = now()');
  const [mover, canceller] = [await db.client(), await db.client()];
  await mover.query('begin');
  await mover.query(`select pgmill.fail_job($1, $2, 'x')`, [leases[0]?.id, leases[0]?.token]);
  await mover.query('select pgmill.release_jobs(array[$1]::bigint[], array[$2]::uuid[])', [
    leases[1]?.id,
    leases[1]?.token,
  ]);
  await mover.query(`select pgmill.get_jobs('other', 2)`);
  const { result } = await whileBlocked(db, canceller, 'select pgmill.cancel_jobs() as count');
  await mover.query('commit');
  t.same(await result, [{ count: '9' }]);
  const live = await db.sql(
    `select id from pgmill.job where state in ('ready', 'scheduled') or state = 'running' and not cancel_requested`,
  );
  t.same(live, []);
  t.equal(
    await value(
      db,
      `select count(*)::int from pgmill.job_key k left join pgmill.running r on r.id = k.id where r.id is null`,
    ),
    0,
  );
});

t.test('two at once wait for each other and count each job once', async (t) => {
  for (let i = 0; i < 20; i++) await add(db, i % 2 ? `'a', run_at => '2100-01-01'` : `'a'`);
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  t.equal(await value(first, 'select pgmill.cancel_jobs()'), '20');
  await add(db);
  const { result } = await whileBlocked(db, second, 'select pgmill.cancel_jobs() as count');
  await first.query('commit');
  t.same(await result, [{ count: '1' }]);
});

t.test('locks the jobs by id, room by room, as everything else does', async (t) => {
  const rooms = ['waiting', 'ready', 'running'];
  for (const [n, room] of rooms.entries()) {
    await empty(db);
    const ids: string[] = [];
    for (const _ of 'abc') ids.push(await add(db, `'a', queue => 'x'`));
    await claim(db, 'x');
    for (const _ of 'abc') ids.push(await add(db));
    for (const _ of 'abc') ids.push(await add(db, `'a', run_at => '2100-01-01'`));
    for (const each of rooms) await db.sql(`update pgmill.${each} set priority = -id`); // in each table now in another order:
    for (const each of rooms)
      await db.sql(`update pgmill.${each} set priority = 7 where id in (select min(id) from pgmill.${each})`);
    await db.sql('analyze pgmill.waiting, pgmill.ready_0, pgmill.ready_1, pgmill.ready_2, pgmill.running');
    const [holder, canceller] = [await db.client(), await db.client()];
    await holder.query('begin');
    await holder.query(`select from pgmill.${room} where id = (select min(id) from pgmill.${room}) for update`);
    const { result } = await whileBlocked(db, canceller, 'select pgmill.cancel_jobs() as count');
    for (const [m, each] of rooms.entries()) {
      const free = await db.sql(`select from pgmill.${each} for update skip locked`);
      t.equal(free.length, m < n ? 0 : m === n ? 2 : 3, `${each} while it waits for the first of ${room}`);
    }
    await holder.query('rollback');
    t.same(await result, [{ count: '9' }]);
  }
});

t.test('meanwhile a claim passes over the jobs, and a completion waits and wins', async (t) => {
  const { id, token } = await run(db);
  await add(db);
  const canceller = await db.client();
  await canceller.query('begin');
  t.equal(
    await value(canceller, `select pgmill.cancel_jobs(name => 'work', run_from => now() - interval '1 day')`),
    '2',
  );
  const worker = await db.client();
  t.same(await claim(worker), [], 'it claims nothing, at once');
  const complete = worker.query('select pgmill.complete_job($1, $2)', [id, token]);
  await blocked(db, worker);
  await canceller.query('commit');
  await complete;
  t.equal((await states())[id], 'completed', 'a job that completes after it was asked is completed');
});
