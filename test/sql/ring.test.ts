// The upkeep: tick, turn_ring, add_partitions, admit_all_due.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, matches, room, unchanged } from './contents.js';
import { add, claim, empty, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(async () => {
  await empty(db);
  await db.sql(`select setval('pgmill.ready_slot', 0)`);
});

// A row a page, so that 300 jobs make a slot large enough for a turn.
for (const slot of [0, 1, 2]) await db.sql(`alter table pgmill.ready_${slot} set (fillfactor = 10)`);
const payload = { text: 'x'.repeat(1100) };

/** Adds jobs until the current slot is large enough for a turn. */
const fill = (jobs = 300) =>
  db.sql(
    `select count(*) from pgmill.add_jobs((
       select jsonb_agg(jsonb_build_object('name', 'fill', 'payload', $1::jsonb)) from generate_series(1, $2)))`,
    [JSON.stringify(payload), jobs],
  );
const turn = (on: typeof db | Awaited<ReturnType<typeof db.client>> = db): Promise<boolean> =>
  value(on, 'select pgmill.turn_ring()');
const slot = () => value(db, 'select last_value::int from pgmill.ready_slot');
const size = (n: number) => value(db, `select pg_relation_size('pgmill.ready_${n}')::int`);
const counts = async () =>
  (
    await db.sql(
      'select s, (select count(*)::int from pgmill.ready r where r.slot = s) as n from generate_series(0, 2) s',
    )
  ).map(({ n }) => n);
const complete = (leases: { id: string; token: string }[]) =>
  db.sql('select * from pgmill.complete_jobs($1, $2)', [leases.map(({ id }) => id), leases.map(({ token }) => token)]);
/** Once more, in a session that has not been told to wait. */
const turnAnew = async () => turn(await db.client());
/** Claims and completes every job of a slot. */
const drain = (n: number) =>
  db.sql(`with j as (delete from pgmill.ready r where r.slot = $1 returning 1) select count(*) from j`, [n]);

t.test('the ring stays where it is while the current slot is small', async (t) => {
  for (let n = 0; n < 5; n++) await add(db);
  const before = await contents(db);
  t.equal(await turn(), false);
  await unchanged(t, db, before, 'nothing changes');
});

t.test('the ring turns to an empty slot, and truncates it; slots that hold jobs are left alone', async (t) => {
  await fill();
  const first = await room(db, 'ready');
  t.equal(await turn(), true);
  t.equal(await slot(), 1);
  t.same(await room(db, 'ready'), first, 'no job is touched');
  t.equal(await turn(), false, 'the new slot is small');
  await fill();
  t.same(await counts(), [300, 300, 0], 'inserts go to the new slot');
  t.equal(await turn(), true);
  t.equal(await slot(), 2, 'the first one is not empty, so it was the third');
  await fill();
  const full = await contents(db);
  t.equal(await turn(), false, 'no slot is empty');
  await unchanged(t, db, full, 'and nothing changes');

  await drain(1);
  await db.sql(`update pgmill.ready set slot = 1 where id = (select min(id) from pgmill.ready)`);
  t.equal(await turn(), false, 'one job is enough');
  await drain(1);
  t.ok((await size(1)) > 2_000_000, 'dead rows fill the slot');
  t.equal(await turn(), true);
  t.equal(await slot(), 1);
  t.equal(await size(1), 0, 'and are gone at once');
  t.same(await counts(), [299, 0, 300]);
  await add(db);
  t.same(await counts(), [299, 1, 300]);
});

t.test('jobs are claimed in their order from whatever slots they are in', async (t) => {
  await fill();
  await turn();
  const urgent = await add(db, `'urgent', priority => 1`);
  const late = await add(db, `'late', priority => 9`);
  const ids = (await db.sql(`select id from pgmill.get_jobs('w', 10000)`)).map(({ id }) => id);
  t.equal(ids.length, 302);
  t.equal(ids[0], urgent);
  t.equal(ids.at(-1), late);
});

t.test('a slot in which somebody has just put a job is not truncated, even before the commit', async (t) => {
  const [one, two] = [await db.client(), await db.client()];
  // Adders that read the register before the ring turned away from slots 1 and 2.
  await db.sql(`select setval('pgmill.ready_slot', 1)`);
  await one.query(`begin; select pgmill.add_job('one')`);
  await db.sql(`select setval('pgmill.ready_slot', 2)`);
  await two.query(`begin; select pgmill.add_jobs('[{"name": "two"}]')`);
  await db.sql(`select setval('pgmill.ready_slot', 0)`);
  await fill();
  t.equal(await turn(), false, 'both are in use');
  await two.query('commit');
  t.equal(await turnAnew(), false, 'one is in use, the other holds a job');
  await one.query('rollback');
  t.equal(await turnAnew(), true, 'one is free now');
  t.equal(await slot(), 1);
  t.same(await counts(), [300, 0, 1], 'and the job in the other is still there');
});

t.test('a job that is committed while the ring waits for its slot is not lost', async (t) => {
  await db.sql(`alter function pgmill.turn_ring set lock_timeout = '30s'`);
  const [adder, turner] = [await db.client(), await db.client()];
  await db.sql(`select setval('pgmill.ready_slot', 1)`);
  await adder.query('begin');
  const id = await value(adder, `select pgmill.add_job('late')`);
  await db.sql(`select setval('pgmill.ready_slot', 0)`);
  await fill();
  const { result } = await whileBlocked(db, turner, 'select pgmill.turn_ring() as turned');
  await adder.query('commit');
  t.same(await result, [{ turned: true }]);
  t.equal(await slot(), 2, 'the other slot was free');
  t.same(await counts(), [300, 1, 0]);
  t.equal(await value(db, 'select id from pgmill.ready where slot = 1'), id);
  await db.sql(`alter function pgmill.turn_ring set lock_timeout = '60ms'`);
});

t.test('a slot that a claim was taken from is not truncated before the claim commits', async (t) => {
  await db.sql(`select setval('pgmill.ready_slot', 1)`);
  const kept = await add(db);
  await db.sql(`select setval('pgmill.ready_slot', 2)`);
  await add(db, `'other'`);
  await db.sql(`select setval('pgmill.ready_slot', 0)`);
  await fill();
  const client = await db.client();
  await client.query('begin');
  t.equal((await client.query(`select * from pgmill.get_jobs('w', 1)`)).rows[0].id, kept);
  t.equal(await turn(), false);
  await client.query('rollback');
  t.equal(await turnAnew(), false, 'it holds the job again');
  t.equal((await db.sql(`select id from pgmill.get_jobs('w', 1)`))[0]?.id, kept);
  t.equal(await turnAnew(), true);
});

t.test('adds and claims wait for a turn that is not committed, and lose nothing', async (t) => {
  await fill();
  const [turner, adder] = [await db.client(), await db.client()];
  for (const [end, to] of [
    ['rollback', 1],
    ['commit', 2],
  ] as const) {
    await db.sql(`select setval('pgmill.ready_slot', 0)`);
    await turner.query('begin');
    t.equal(await turn(turner), true);
    const { result } = await whileBlocked(db, adder, `select pgmill.add_job('new') as id`);
    await turner.query(end);
    const [added] = await result;
    t.equal(await value(db, 'select slot from pgmill.ready where id = $1', [added?.['id']]), to, end);
  }
  t.same(await counts(), [300, 1, 1], 'the second turn passed over slot 1, where the first job is');
});

t.test('the ring does not turn in a transaction that would not see what was just committed', async (t) => {
  await fill();
  const client = await db.client();
  for (const level of ['repeatable read', 'serializable']) {
    await client.query(`begin isolation level ${level}`);
    t.equal(await turn(client), false, level);
    await client.query('select * from pgmill.tick()');
    await client.query('commit');
  }
  t.equal(await slot(), 0);
  t.equal(await turn(client), true);
});

t.test('a reader that holds the tables keeps the ring from turning, and is not waited for', async (t) => {
  await fill();
  const reader = await db.client();
  await reader.query('begin; select count(*) from pgmill.job');
  const before = await contents(db);
  const started = Date.now();
  t.equal(await turn(), false);
  t.ok(Date.now() - started < 5000);
  t.same(await value(db, `select proconfig from pg_proc where oid = 'pgmill.turn_ring'::regproc`), [
    'search_path=pg_catalog, pgmill, pg_temp',
    'lock_timeout=60ms',
  ]);
  await unchanged(t, db, before, 'nothing changes');
  const impatient = await db.client();
  t.equal(await turn(impatient), false);
  t.equal(await turn(impatient), false, 'the same reader as before');
  await reader.query('commit');
  t.equal(await turn(impatient), false, 'a session does not ask again at once');
  t.equal(await turnAnew(), true);
});

t.test('where a reader holds every slot for long, the ring grows, and shrinks the dead no less', async (t) => {
  await db.sql(`truncate pgmill.ready`);
  const dump = await db.client();
  await dump.query(
    'begin isolation level repeatable read; lock table pgmill.ready, pgmill.ready_0, pgmill.ready_1, pgmill.ready_2 in access share mode',
  );
  const [upkeep, adder] = [await db.client(), await db.client()];
  const slots = () => value(db, `select count(*)::int from pg_inherits where inhparent = 'pgmill.ready'::regclass`);
  await fill();
  t.equal(await turn(upkeep), false, 'a reader of a moment is no reason');
  await fill();
  // Not before the commit may anybody be pointed at the new slot.
  await upkeep.query('begin');
  t.equal(await turn(upkeep), true);
  await adder.query(
    `set lock_timeout = '5s'; begin; select pgmill.add_job('meanwhile'); select pgmill.add_jobs('[{"name": "meanwhile"}]')`,
  );
  await upkeep.query('commit');
  await adder.query('commit');
  t.same([await slots(), await slot(), (await counts())[0]], [4, 0, 602]);
  t.equal(await turn(upkeep), true);
  t.equal(await slot(), 3, 'the next call turns to it');

  await db.sql(`alter table pgmill.ready_3 set (fillfactor = 10)`);
  await fill(600);
  t.equal(await turn(upkeep), true, 'it grows once more');
  t.equal(await turn(upkeep), true);
  t.equal(await slot(), 4);
  const all = await db.sql(`select id from pgmill.get_jobs('w', 10000)`);
  t.equal(all.length, 1202, 'jobs are claimed from all of them');
  await db.sql(`alter table pgmill.ready_4 set (fillfactor = 10)`);
  await fill(600);
  t.equal(await turn(upkeep), true);
  t.same([await slots(), await slot(), await size(3)], [5, 3, 0], 'what the reader does not hold is truncated');
  t.equal(await value(dump, 'select 1'), 1);
  await dump.query('commit');
  const ids = (await db.sql(`select id from pgmill.get_jobs('w', 10000)`)).map(({ id }) => id);
  t.equal(ids.length, 600);

  for (const n of [3, 4]) await db.sql(`drop table pgmill.ready_${n}`);
});

t.test('somebody who adds while the ring grows and turns to the new slot is not in the way, nor lost', async (t) => {
  await db.sql(`truncate pgmill.ready`);
  const [dump, adder, locker] = [await db.client(), await db.client(), await db.client()];
  await dump.query(
    'begin; lock table pgmill.ready, pgmill.ready_0, pgmill.ready_1, pgmill.ready_2 in access share mode',
  );
  const { id, token } = await run(db, `'returned'`);
  await fill(600);
  // Giving back has begun, and waits for the job's row, while the ring grows and turns.
  await locker.query(`begin`);
  await locker.query('select from pgmill.running where id = $1 for update', [id]);
  const { result } = await whileBlocked(db, adder, `select * from pgmill.release_jobs('{${id}}', '{${token}}')`);
  const upkeep = await db.client();
  t.equal(await turn(upkeep), false);
  t.equal(await turn(upkeep), true);
  t.equal(await turn(upkeep), true);
  t.equal(await slot(), 3);
  await locker.query('commit');
  t.match(await result, [{ outcome: 'released' }]);
  await dump.query('commit');
  t.equal(await value(db, `select count(*)::int from pgmill.get_jobs('w', 10000)`), 601);
  await db.sql('drop table pgmill.ready_3');
});

t.test('dead rows go away even while a snapshot is held open elsewhere', async (t) => {
  const [holder, ticker] = [await db.client(), await db.client()];
  await holder.query('begin isolation level repeatable read; select 1; create temp table holds_a_snapshot ()');
  for (let round = 0; round < 4; round++) {
    await fill();
    await complete(await claim(db));
    await complete(await claim(db));
    await ticker.query('select * from pgmill.tick()');
    await db.sql('vacuum pgmill.ready');
  }
  const sizes = await Promise.all([0, 1, 2].map(size));
  t.ok(sizes.filter((bytes) => bytes > 0).length <= 2 && Math.max(...sizes) < 4_000_000, `${sizes}`);
  t.equal(await value(holder, 'select 1'), 1);
  await holder.query('commit');
  t.equal(await value(db, `select count(*)::int from pgmill.finished where state = 'completed'`), 1200);
});

t.test('adding, claiming and ticking all at once: every job is claimed exactly once', async (t) => {
  const total = 6000;
  const claimed: string[] = [];
  const added: string[] = [];
  let turns = 0;
  let adding = 4;
  const adder = async () => {
    const client = await db.client();
    for (let n = 0; n < total / 4 / 50; n++) {
      const jobs = JSON.stringify(
        Array.from({ length: 49 }, () => ({ name: 'soak', payload, priority: Math.floor(Math.random() * 3) })),
      );
      const { rows } = await client.query('select id from pgmill.add_jobs($1)', [jobs]);
      added.push(
        ...rows.map(({ id }) => id),
        await value(client, `select pgmill.add_job('soak', $1)`, [JSON.stringify(payload)]),
      );
    }
    adding--;
  };
  const worker = async () => {
    const client = await db.client();
    while (adding > 0 || claimed.length < added.length) {
      const { rows } = await client.query(`select id, token from pgmill.get_jobs('w', 40)`);
      claimed.push(...rows.map(({ id }) => id));
      await client.query('select * from pgmill.complete_jobs($1, $2)', [
        rows.map(({ id }) => id),
        rows.map(({ token }) => token),
      ]);
    }
  };
  const ticker = async () => {
    const client = await db.client();
    while (adding > 0 || claimed.length < added.length) {
      const { rows } = await client.query('select task from pgmill.tick()');
      if (rows.some(({ task }) => task === 'ring')) turns++;
    }
  };
  await Promise.all([...Array.from({ length: 4 }, adder), ...Array.from({ length: 4 }, worker), ticker(), ticker()]);
  t.ok(turns >= 3, `the ring turned ${turns} times`);
  t.equal(added.length, total);
  t.same(claimed.sort(), added.sort());
  t.equal(await value(db, `select count(distinct id)::int from pgmill.finished where state = 'completed'`), total);
  t.equal(
    (await value(db, 'select count(*)::int from pgmill.ready')) +
      (await value(db, 'select count(*)::int from pgmill.running')),
    0,
  );
});

const day = (ahead = 0) =>
  value(db, `select to_char((clock_timestamp() at time zone 'UTC')::date + $1::int, 'YYYYMMDD')`, [ahead]);
const partitions = async () =>
  (
    await db.sql(`
      select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent in ('pgmill.finished_completed'::regclass, 'pgmill.finished_failed'::regclass, 'pgmill.finished_cancelled'::regclass)
      order by 1`)
  ).map(({ name }) => name as string);
const addPartitions = (on: typeof db | Awaited<ReturnType<typeof db.client>> = db) =>
  value(on, 'select pgmill.add_partitions()').then(Number);

t.test('there is a partition for today and each of the next three days, by UTC, for each state', async (t) => {
  const days = [await day(0), await day(1), await day(2), await day(3)];
  const wanted = ['cancelled', 'completed', 'failed'].flatMap((state) =>
    [...days, 'rest'].map((each) => `finished_${state}_${each}`),
  );
  t.same(await partitions(), wanted);
  t.equal(await addPartitions(), 0, 'so there is nothing to make');
  for (const name of wanted.filter((each) => !each.endsWith('rest'))) await db.sql(`drop table pgmill.${name}`);
  t.equal(await addPartitions(), 12);
  t.same(await partitions(), wanted);
  const wrong = await db.sql(`
    select c.relname::text, pg_get_expr(c.relpartbound, c.oid) as bound
    from pg_class c, regexp_match(c.relname, '_(\\d{8})$') m,
      regexp_match(pg_get_expr(c.relpartbound, c.oid), '\\(''(.*)''\\) TO \\(''(.*)''\\)') b
    where c.relnamespace = 'pgmill'::regnamespace and c.relispartition and m is not null
      and (b[1]::timestamptz <> (m[1]::date)::timestamp at time zone 'UTC' or b[2]::timestamptz <> (m[1]::date + 1)::timestamp at time zone 'UTC')`);
  t.same(wrong, [], 'a day is a day of UTC, whatever the time zone of the session');
  const indexes = await db.sql(`
    select count(*) filter (where i.indisprimary)::int as keys, count(*)::int as all
    from pg_index i join pg_class c on c.oid = i.indrelid where c.relname ~ '^finished_[a-z]+_2'`);
  t.same(indexes, [{ keys: 12, all: 24 }], 'each with its primary key and the index of the whole');
});

t.test(
  'a job that ends on a day without a partition lands in rest, and its day is made when rest is rid of it',
  async (t) => {
    await db.sql(`drop table pgmill.finished_completed_${await day()}, pgmill.finished_failed_${await day()}`);
    const { id, token } = await run(db);
    await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
    t.same(await db.sql('select id, tableoid::regclass::text as leaf from pgmill.finished'), [
      { id, leaf: 'pgmill.finished_completed_rest' },
    ]);
    matches(t, await db.sql('select id, state from pgmill.job'), [{ id, state: 'completed' }]);
    t.same(await db.sql('select outcome from pgmill.complete_jobs(array[$1::bigint], array[$2::uuid])', [id, token]), [
      { outcome: 'already_completed' },
    ]);
    t.equal(await addPartitions(), 1, 'the other state gets its day');
    t.ok((await partitions()).includes(`finished_failed_${await day()}`));
    t.equal(await addPartitions(), 0, 'this one is passed over while rest holds its job');
    matches(t, await db.sql('select id, state from pgmill.job'), [{ id, state: 'completed' }]);
    await db.sql('delete from pgmill.finished');
    t.equal(await addPartitions(), 1);
    const next = await run(db);
    await db.sql('select pgmill.complete_job($1, $2)', [next.id, next.token]);
    t.same(await db.sql('select tableoid::regclass::text as leaf from pgmill.finished'), [
      { leaf: `pgmill.finished_completed_${await day()}` },
    ]);
  },
);

t.test('making partitions does not wait long for whoever uses rest, and is made up for later', async (t) => {
  t.ok(
    (await value(db, `select proconfig from pg_proc where oid = 'pgmill.add_partitions'::regproc`)).includes(
      'lock_timeout=100ms',
    ),
  );
  const client = await db.client();
  const today = `finished_completed_${await day()}`;
  await db.sql(`drop table pgmill.${today}`);
  await client.query('begin; select * from pgmill.finished_completed_rest');
  const started = Date.now();
  t.equal(await addPartitions(), 0, 'behind a reader');
  t.ok(Date.now() - started < 5000);
  await client.query('commit; begin');
  const [lease] = [await run(db)];
  await client.query('select pgmill.complete_job($1, $2)', [lease.id, lease.token]);
  t.equal(await addPartitions(), 0, 'behind a job that ends right now');
  t.notOk((await partitions()).includes(today));
  await client.query('rollback');
  t.equal(await addPartitions(), 1);
});

t.test('a job that comes into rest while its day is being made stays there, and the day is left out', async (t) => {
  await db.sql(`alter function pgmill.add_partitions set lock_timeout = '30s'`);
  const [worker, maker] = [await db.client(), await db.client()];
  const [today, later] = [`finished_completed_${await day()}`, `finished_failed_${await day(1)}`];
  await db.sql(`drop table pgmill.${today}, pgmill.${later}`);
  const { id, token } = await run(db);
  await worker.query('begin');
  await worker.query('select pgmill.complete_job($1, $2)', [id, token]);
  const { result } = await whileBlocked(db, maker, 'select pgmill.add_partitions() as made');
  await worker.query('commit');
  t.same(await result, [{ made: '1' }], 'the other one is made');
  t.same(
    (await partitions()).filter((name) => name === today || name === later),
    [later],
  );
  t.equal(await value(db, `select to_regclass('pgmill.${today}')`), null, 'and nothing is left lying about');
  t.same(await db.sql('select id, state from pgmill.job'), [{ id, state: 'completed' }]);
  await db.sql('delete from pgmill.finished');
  t.equal(await addPartitions(), 1);
  await db.sql(`alter function pgmill.add_partitions set lock_timeout = '100ms'`);
});

t.test('two that make the same partition at the same time: one makes it, the other goes on', async (t) => {
  await db.sql(`alter function pgmill.add_partitions set lock_timeout = '30s'`);
  const [one, two] = [await db.client(), await db.client()];
  for (const ahead of [0, 3]) await db.sql(`drop table pgmill.finished_failed_${await day(ahead)}`);
  await one.query('begin');
  t.equal(await addPartitions(one), 2);
  const { result } = await whileBlocked(db, two, 'select pgmill.add_partitions() as made');
  await one.query('commit');
  t.same(await result, [{ made: '0' }]);
  t.equal((await partitions()).length, 15);
  await db.sql(`alter function pgmill.add_partitions set lock_timeout = '100ms'`);
});

t.test('while partitions are being made jobs end, as long as they have a partition', async (t) => {
  const lease = await run(db);
  const [maker, worker] = [await db.client(), await db.client()];
  await db.sql(`drop table pgmill.finished_completed_${await day(3)}`);
  await maker.query('begin');
  t.equal(await addPartitions(maker), 1);
  await worker.query(`set lock_timeout = '1ms'`);
  await worker.query(`select pgmill.complete_jobs(array[$1::bigint], array[$2::uuid])`, [lease.id, lease.token]);
  await maker.query('commit');
  t.equal((await room(db, 'finished')).length, 1);
});

const tick = (on: typeof db | Awaited<ReturnType<typeof db.client>> = db) =>
  ('sql' in on
    ? on.sql('select * from pgmill.tick()')
    : on.query('select * from pgmill.tick()').then(({ rows }) => rows)) as Promise<{ task: string; changed: string }[]>;

t.test('tick does all upkeep, and says what it did', async (t) => {
  const lost = [await run(db), await run(db, `'x', max_attempts => 1`)];
  const alive = await run(db);
  await db.sql(`update pgmill.running set lease_until = '2000-01-01' where id <> $1`, [alive.id]);
  const due = [
    await add(db, `'a', queue => 'nobody works on this', run_at => '2100-01-01'`),
    await add(db, `'b', queue => ' ', run_at => '2100-01-01'`),
  ];
  await db.sql(`update pgmill.waiting set run_at = clock_timestamp() - interval '1 second'`);
  const later = await add(db, `'c', run_at => '2100-01-01'`);
  await db.sql(`drop table pgmill.finished_cancelled_${await day(2)}`);
  await fill();
  t.same(await tick(), [
    { task: 'reclaim', changed: '2' },
    { task: 'admit', changed: '2' },
    { task: 'partitions', changed: '1' },
    { task: 'ring', changed: '1' },
  ]);
  const state = new Map(
    (await db.sql(`select id, state from pgmill.job where name <> 'fill'`)).map((job) => [job.id, job.state]),
  );
  t.same(
    [...lost.map(({ id }) => id), alive.id, ...due, later].map((id) => state.get(id)),
    ['scheduled', 'failed', 'running', 'ready', 'ready', 'scheduled'],
  );
  t.equal((await partitions()).length, 15);
  t.equal(await slot(), 1);
  const before = await contents(db);
  t.same(await tick(), [], 'then there is nothing left to do');
  await unchanged(t, db, before, 'and nothing changes');
});

t.test('tick lets due jobs of every queue in, thousands at a time, and leaves all they have', async (t) => {
  await db.sql(`select count(*) from pgmill.add_jobs((
    select jsonb_agg(jsonb_build_object('name', 'n', 'queue', 'q' || n % 300, 'run_at', '2100-01-01T00:00:00Z')) from generate_series(1, 3000) n))`);
  await add(db, `'k', '{"a": 1}', 'q0', 2, '2100-01-01', 7, '3 s', '1 s', '2 s', 'key'`);
  const was = (await db.sql(`select to_jsonb(w) - 'run_at' as job from pgmill.waiting w order by id`)).map(
    ({ job }) => job,
  );
  await db.sql(`update pgmill.waiting set run_at = '2000-01-01'`);
  t.same((await tick())[0], { task: 'admit', changed: '3001' });
  t.same(
    (await db.sql(`select to_jsonb(r) - 'run_at' - 'slot' as job from pgmill.ready r order by id`)).map(
      ({ job }) => job,
    ),
    was,
  );
  t.equal(await value(db, `select bool_and(run_at = '2000-01-01') from pgmill.ready`), true);
});

t.test('while one session ticks another returns at once, with nothing', async (t) => {
  await run(db);
  await db.sql(`update pgmill.running set lease_until = '2000-01-01'`);
  const [one, two] = [await db.client(), await db.client()];
  await two.query(`set lock_timeout = '1ms'`);
  await one.query('begin');
  t.same(await tick(one), [{ task: 'reclaim', changed: '1' }]);
  const { id } = await run(db);
  await db.sql(`update pgmill.running set lease_until = '2000-01-01' where id = $1`, [id]);
  t.same(await tick(two), []);
  await one.query('rollback');
  t.same(await tick(two), [{ task: 'reclaim', changed: '2' }], 'the next one does it');
});

t.test('many sessions tick as fast as they can: everything is done once', async (t) => {
  const leases = [];
  for (let n = 0; n < 30; n++) leases.push(await add(db, `'a', max_attempts => 1`));
  await claim(db);
  await db.sql(`select pgmill.add_job('b', queue => 'q' || n, run_at => '2100-01-01') from generate_series(1, 40) n`);
  await db.sql(`update pgmill.waiting set run_at = clock_timestamp() - interval '1 second'`);
  await db.sql(`update pgmill.running set lease_until = '2000-01-01'`);
  await db.sql(`drop table pgmill.finished_completed_${await day(1)}`);
  await fill();
  const clients = await Promise.all(Array.from({ length: 8 }, () => db.client()));
  const done = new Map<string, number>();
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 0; n < 15; n++)
        for (const { task, changed } of await tick(client)) done.set(task, (done.get(task) ?? 0) + Number(changed));
    }),
  );
  t.same([...done.entries()].sort(), [
    ['admit', 40],
    ['partitions', 1],
    ['reclaim', 30],
    ['ring', 1],
  ]);
  t.same(
    await db.sql(
      `select state, count(*)::int, max(attempts) from pgmill.job where name <> 'fill' group by 1 order by 1`,
    ),
    [
      { state: 'failed', count: 30, max: 1 },
      { state: 'ready', count: 40, max: 0 },
    ],
  );
});

t.test('a tick rolled back has done nothing', async (t) => {
  const { id } = await run(db);
  await db.sql(`update pgmill.running set lease_until = '2000-01-01'`);
  const before = await rooms(db);
  const client = await db.client();
  await client.query('begin');
  t.equal((await tick(client)).length, 1);
  await client.query('rollback');
  t.same(await rooms(db), before);
  t.ok(id);
});
