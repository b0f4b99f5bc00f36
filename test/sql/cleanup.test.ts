import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, changed, claim, empty, refused, rooms, run, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(async () => {
  await db.sql(
    `select pgmill.drop_days('{completed,failed,cancelled}', array_fill(date_trunc('day', now(), 'UTC'), '{3}'))`,
  );
  await db.sql('select pgmill.add_partitions()');
  await empty(db);
});

const states = ['completed', 'failed', 'cancelled'] as const;
type State = (typeof states)[number];

/** What cleanup removed of each state. */
async function cleanup(args = ''): Promise<Record<State, number>> {
  const rows = await db.sql(`select * from pgmill.cleanup(${args})`);
  return Object.fromEntries(rows.map(({ state, removed }) => [state, Number(removed)])) as Record<State, number>;
}
const none = { completed: 0, failed: 0, cancelled: 0 };

/** Makes a day's partition of a state, so many days ago (UTC). */
async function addDay(state: State, daysAgo: number): Promise<string> {
  const day = `(now() at time zone 'UTC')::date - ${daysAgo}`;
  const [row] = await db.sql(`
    select format('finished_%s_%s', '${state}', to_char(${day}, 'YYYYMMDD')) as leaf,
      format('create table pgmill.%I partition of pgmill.%I (primary key (id)) for values from (%L) to (%L)',
        format('finished_%s_%s', '${state}', to_char(${day}, 'YYYYMMDD')), 'finished_${state}',
        (${day})::timestamp at time zone 'UTC', (${day} + 1)::timestamp at time zone 'UTC') as ddl`);
  await db.sql(row.ddl);
  return row.leaf;
}

/** Writes jobs that ended so long ago; returns their ids. */
async function ended(state: State, ago: string, count = 1): Promise<string[]> {
  const rows = await db.sql(
    `insert into pgmill.finished (id, queue, name, payload, priority, run_at, attempts, max_attempts, retry_base, retry_max,
       created_at, state, finished_at)
     select nextval('pgmill.job_id'), 'default', 'old', '{}', 5, now(), 1, 3, '1 minute', '1 day', now(), $1, clock_timestamp() - $2::interval
     from generate_series(1, $3) returning id`,
    [state, ago, count],
  );
  return rows.map(({ id }) => id);
}
const exists = (leaf: string): Promise<boolean> => value(db, `select to_regclass('pgmill.' || $1) is not null`, [leaf]);
const leaves = async () =>
  (await db.sql('select leaf from pgmill.finished_leaves() order by leaf')).map(({ leaf }) => leaf);
const left = async () => (await db.sql('select id from pgmill.finished order by id')).map(({ id }) => id);

t.test('keeps each state for its own time: 5, 30 and 5 days unless told otherwise', async (t) => {
  const old = { completed: '5 days 1 minute', failed: '30 days 1 minute', cancelled: '5 days 1 minute' };
  const young = { completed: '4 days 23:59', failed: '29 days 23:59', cancelled: '4 days 23:59' };
  const keep: string[] = [];
  for (const state of states) {
    await ended(state, old[state]);
    keep.push(...(await ended(state, young[state])));
  }
  t.same(await cleanup(), { completed: 1, failed: 1, cancelled: 1 });
  t.same(
    await left(),
    keep.sort((a, b) => Number(a) - Number(b)),
  );
  t.same(await cleanup(), none, 'a second time there is nothing left');
  t.same(await cleanup(`failed_after => '29 days'`), { ...none, failed: 1 });
  t.same(await cleanup(`cancelled_after => '4 days'`), { ...none, cancelled: 1 });
  t.same(await cleanup(`'4 days'`), { ...none, completed: 1 });
  t.same(await left(), []);
});

t.test(
  'drops a day that is old as a whole, counts its jobs, and deletes from the day that is partly old',
  async (t) => {
    const [dropped, partly] = [await addDay('completed', 6), await addDay('completed', 5)];
    const others = [await addDay('failed', 6), await addDay('cancelled', 4)];
    await db.sql(`insert into pgmill.${dropped} (id, queue, name, payload, priority, run_at, attempts, max_attempts, retry_base, retry_max, created_at, state, finished_at)
    select -i, 'default', 'old', '{}', 5, now(), 1, 3, '0', '0', now(), 'completed', d.day + i * interval '10 minutes'
    from (select date_trunc('day', now(), 'UTC') - interval '144 hours' as day) d, generate_series(0, 143) i`);
    const keep = [
      ...(await ended('completed', '4 days 23:59')),
      ...(await ended('failed', '6 days')),
      ...(await ended('cancelled', '4 days')),
    ];
    await ended('completed', '5 days 1 minute');
    t.same(await cleanup(), { ...none, completed: 145 });
    t.same(await left(), keep);
    t.equal(await exists(dropped), false);
    for (const leaf of [partly, ...others]) t.equal(await exists(leaf), true, leaf);
  },
);

t.test('drops empty old days too', async (t) => {
  const leaf = await addDay('failed', 31);
  t.same(await cleanup(), none);
  t.equal(await exists(leaf), false);
});

t.test(
  'with no time at all, everything that has ended goes, but never a live job, nor today or a day to come',
  async (t) => {
    const yesterday = await addDay('completed', 1);
    const { id, token } = await run(db);
    await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
    for (const state of states) await ended(state, '1 day');
    await run(db);
    await add(db);
    await add(db, `'a', run_at => '2100-01-01'`);
    const before = await rooms(db);
    const there = await leaves();
    const gone = (await left()).filter((each) => each !== id);
    t.same(await cleanup(`'0', '0', '0'`), { completed: 2, failed: 1, cancelled: 1 });
    await changed(t, db, before, [id, ...gone], 'live jobs are as they were');
    t.same(await left(), []);
    t.same(
      await leaves(),
      there.filter((leaf) => leaf !== yesterday),
    );
    t.equal(there.length - 1, 15, 'rest, today and three days to come of each state');
    const next = await claim(db);
    await db.sql('select pgmill.complete_job($1, $2)', [next[0]?.id, next[0]?.token]);
    t.same(await left(), [next[0]?.id], 'and jobs go on ending');
  },
);

t.test('an age of nothing that the calendar turns into the future is taken as zero', async (t) => {
  const there = await leaves();
  const young = await ended('completed', '-20 hours');
  t.same(await cleanup(`'-1 year 360 days'`), none);
  t.same(await leaves(), there);
  t.same(await left(), young);
});

t.test('finds jobs that ended on a day without a partition', async (t) => {
  await ended('completed', '100 days', 3);
  t.equal(await value(db, 'select count(*)::int from pgmill.finished_completed_rest'), 3);
  const keep = await ended('completed', '3 days');
  t.same(await cleanup(), { ...none, completed: 3 });
  t.same(await left(), keep);
});

t.test('deletes at most 100,000 of a state in one call', async (t) => {
  await ended('completed', '10 days', 100_010);
  await ended('cancelled', '10 days', 5);
  t.same(await cleanup(), { ...none, completed: 100_000, cancelled: 5 });
  t.same(await cleanup(), { ...none, completed: 10 });
  t.same(await left(), []);
});

t.test('drops at most 31 days in one call, the oldest first', async (t) => {
  const days: string[] = [];
  for (let i = 0; i < 33; i++) days.push(await addDay('completed', 50 - i));
  await cleanup();
  t.same(
    await Promise.all(days.map(exists)),
    days.map((_, i) => i >= 31),
  );
  await cleanup();
  t.same((await leaves()).length, 15);
});

t.test('leaves a day in use for the next call, and does not wait for it', async (t) => {
  const days = [await addDay('completed', 8), await addDay('completed', 7)];
  const ids = await ended('completed', '7 days');
  const rest = await ended('cancelled', '100 days');
  const reader = await db.client();
  await reader.query('begin');
  await reader.query('select from pgmill.finished'); // as pg_dump would
  const start = Date.now();
  t.same(await cleanup(), { ...none, cancelled: 1 }, 'deletes go on');
  t.ok(Date.now() - start < 10_000);
  t.same(await left(), ids);
  await reader.query('commit');
  t.same(await cleanup(), { ...none, completed: 1 });
  t.same(await Promise.all(days.map(exists)), [false, false]);
  t.notSame(rest, []);
});

t.test('nothing comes into a day or out of it while its jobs are counted, and workers go on meanwhile', async (t) => {
  const leaf = await addDay('completed', 8);
  await ended('completed', '8 days');
  const { id, token } = await run(db);
  const [reader, cleaner, worker] = [await db.client(), await db.client(), await db.client()];
  await reader.query('begin');
  await reader.query('lock table only pgmill.finished_completed in access share mode'); // so it counts, and then cannot drop
  await cleaner.query('begin');
  t.match((await cleaner.query('select * from pgmill.cleanup()')).rows[0], { removed: '0' });
  const held = await db.sql('select mode from pg_locks where relation = $1::regclass and granted order by mode', [
    `pgmill.${leaf}`,
  ]);
  t.ok(
    held.some(({ mode }) => mode === 'ExclusiveLock'),
    `${held.map(({ mode }) => mode)}`,
  );
  await worker.query(`set lock_timeout = '5 s'`);
  await worker.query('select pgmill.complete_job($1, $2)', [id, token]);
  await cleaner.query('commit');
  await reader.query('commit');
});

t.test('leaves a day alone into which a job is just ending', async (t) => {
  const leaf = await addDay('completed', 8);
  const worker = await db.client();
  await worker.query('begin');
  await worker.query(`insert into pgmill.finished (id, queue, name, payload, priority, run_at, attempts, max_attempts, retry_base, retry_max, created_at, state, finished_at)
    values (1, 'default', 'late', '{}', 5, now(), 1, 3, '0', '0', now(), 'completed', now() - interval '8 days')`);
  t.same(await cleanup(), none);
  await worker.query('commit');
  t.equal(await exists(leaf), true);
  t.same(await cleanup(), { ...none, completed: 1 }, 'it is counted by the call that removes it');
});

t.test('passes over a job that is just being retried', async (t) => {
  const [retried, other] = [await ended('failed', '40 days'), await ended('failed', '40 days')];
  const admin = await db.client();
  await admin.query('begin');
  t.equal(await value(admin, 'select pgmill.retry_job($1)', retried), true);
  t.same(await cleanup(), { ...none, failed: 1 });
  await admin.query('rollback');
  t.same(await left(), retried);
  t.notSame(other, retried);
});

t.test('two at once do not wait for each other, and count no job twice', async (t) => {
  await addDay('completed', 8);
  await ended('completed', '8 days', 2);
  await ended('completed', '100 days', 3);
  const first = await db.client();
  await first.query('begin');
  const rows = await first.query('select * from pgmill.cleanup()');
  t.match(rows.rows[0], { state: 'completed', removed: '5' });
  t.same(await cleanup(), none);
  await first.query('commit');
  t.same(await cleanup(), none);
});

t.test('in a transaction with an older snapshot it drops nothing, because it might miscount', async (t) => {
  const leaf = await addDay('completed', 8);
  await ended('completed', '8 days');
  await ended('completed', '100 days');
  const client = await db.client();
  await client.query('begin isolation level repeatable read');
  t.match((await client.query('select * from pgmill.cleanup()')).rows[0], { state: 'completed', removed: '1' });
  await client.query('commit');
  t.equal(await exists(leaf), true);
});

t.test('refuses each argument that makes no sense', async (t) => {
  await ended('completed', '1 day');
  const wrong = ['null', `'-1 second'`, `'36600 days 1 second'`];
  // From version 17 on there is an infinite interval.
  if (Number(await value(db, 'show server_version_num')) >= 170000) wrong.push(`'infinity'`, `'-infinity'`);
  await refused(
    t,
    db,
    states.flatMap((state) => wrong.map((age) => `cleanup(${state}_after => ${age})`)),
  );
  t.same(await cleanup(`'36600 days', '100 years', '36525 days'`), none);
});
