// read_mark and set_mark, and who uses them: admit_due, admit_all_due, reclaim, next_run_at, tick.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, empty, run, value } from './rooms.js';

const db = await testDatabase(t);
// Nothing but a held snapshot may keep dead entries in the indexes, and nothing may take them away.
for (const table of ['waiting', 'running']) {
  await db.sql(`alter table pgmill.${table} set (autovacuum_enabled = false)`);
}
t.beforeEach(() => empty(db));

type Session = Awaited<ReturnType<typeof db.client>>;
const forDefault = `'waiting_' || (hashtext('default') & 2147483647)`;
/** Where the session's looks begin: seconds after 2030-01-01, or null for everywhere. */
const begins = async (session: Session, mark: string) => {
  const at = await value(session, `select extract(epoch from pgmill.read_mark(${mark}) - '2030-01-01Z')::float8`);
  return at === Number.NEGATIVE_INFINITY ? null : at;
};
/** As after a look that took so long and found nothing alive before 2030. */
const look = (session: Session, mark: string, index: string, took: string) =>
  session.query(`select pgmill.set_mark(${mark}, $1, clock_timestamp() - $2::interval, '2030-01-01Z')`, [index, took]);
/** Waits until the session's looks begin everywhere again. */
const ended = async (session: Session, mark: string) => {
  while ((await begins(session, mark)) !== null) await session.query('select pg_sleep(0.1)');
};
const schedule = (jobs: number, runAt = `'2100-01-01Z'`) =>
  db.sql(
    `select count(*) from pgmill.add_jobs((
       select jsonb_agg(jsonb_build_object('name', 'n', 'run_at', (${runAt})::timestamptz + n * interval '1 us')) from generate_series(1, $1) n))`,
    [jobs],
  );

t.test('a mark lies 2 seconds lower than it might, is of one session, and ends', async (t) => {
  const session = await db.client();
  const set = (took: string) => look(session, `'m'`, 'waiting_queue_run_at', took);
  await set('1 minute');
  t.equal(await begins(session, `'m'`), null, 'a small index is not the reason for a long look');
  await schedule(10_000);
  await set('10 ms');
  t.equal(await begins(session, `'m'`), -2);
  t.equal(await begins(await db.client(), `'m'`), null);
  await session.query('select pg_sleep(0.5)');
  t.equal(await begins(session, `'m'`), -2, 'it lasts a hundred times as long as the look took');
  await ended(session, `'m'`);

  await set('1 minute');
  await session.query(`set datestyle = 'SQL, DMY'; set timezone = 'Asia/Tokyo'; set intervalstyle = 'sql_standard'`);
  t.equal(await begins(session, `'m'`), -2, 'whatever the settings of the session');
});

t.test('with a mark the next looks begin there; the others, and those after its end, see everything', async (t) => {
  const session = await db.client();
  await schedule(10_000);
  await db.sql(`update pgmill.waiting set queue = 'other'`);
  const early = await add(db, `'early', run_at => '2100-01-01'`);
  await db.sql(`update pgmill.waiting set run_at = '2001-01-01Z' where id = $1`, [early]);
  const admit = (on: Session) => value(on, `select pgmill.admit_due('{default}', clock_timestamp(), 1000)::int`);
  await look(session, forDefault, 'waiting_queue_run_at', '20 ms');
  t.equal(await admit(session), 0);
  t.equal(await value(session, 'select pgmill.next_run_at()'), null, 'next_run_at agrees');
  t.equal(
    await value(session, `select pgmill.next_run_at('{other}') > '2099-01-01'`),
    true,
    'it is for the same queues',
  );
  await ended(session, forDefault);
  t.equal(await value(session, `select pgmill.next_run_at() = '2001-01-01Z'`), true);
  t.equal(await admit(session), 1);

  const { id } = await run(db);
  await db.sql(
    `insert into pgmill.running select (r.r).* from (
       select jsonb_populate_record(r, jsonb_build_object('id', -n, 'lease_until', r.lease_until + n * interval '1 ms')) as r from pgmill.running r, generate_series(1, 12000) n where r.id = $1) r`,
    [id],
  );
  await db.sql(`update pgmill.running set lease_until = '2001-01-01Z' where id = $1`, [id]);
  await look(session, `'running'`, 'running_lease_until', '20 ms');
  t.equal(await value(session, 'select pgmill.reclaim()::int'), 0);
  await ended(session, `'running'`);
  t.equal(await value(session, 'select pgmill.reclaim()::int'), 1);

  await db.sql(`update pgmill.waiting set run_at = '2001-01-01Z' where id = (select min(id) from pgmill.waiting)`);
  await look(session, `'queues'`, 'waiting_queue_run_at', '20 ms');
  t.equal(await value(session, 'select pgmill.admit_all_due()::int'), 0);
  await ended(session, `'queues'`);
  t.equal(await value(session, 'select pgmill.admit_all_due()::int'), 1);
});

t.test('under a snapshot held open elsewhere a worker sets marks by itself, and misses nothing', async (t) => {
  const [holder, worker] = [await db.client(), await db.client()];
  await holder.query('begin isolation level repeatable read; select 1');
  const claimed = async () => (await worker.query(`select id from pgmill.get_jobs('w', 10000)`)).rows.length;
  let marked = 0;
  let got = 0;
  for (let round = 0; round < 30; round++) {
    await schedule(2000, `clock_timestamp() + interval '20 ms'`);
    await worker.query('select pg_sleep(0.03)');
    got += await claimed();
    got += await claimed();
    if ((await begins(worker, forDefault)) !== null) marked += 1;
  }
  t.equal(got, 60_000);
  t.ok(marked > 3, `${marked} of 30 rounds ended with a mark`);
  await holder.query('commit');
});

t.test('a claim that finds nothing due sets a mark too, when the look took long', async (t) => {
  const [holder, worker] = [await db.client(), await db.client()];
  await schedule(10_000);
  await holder.query('begin isolation level repeatable read; select 1');
  for (let n = 0; n < 10; n++)
    await db.sql(`update pgmill.waiting set run_at = '2001-01-01Z'::timestamptz + $1 * interval '1 s'`, [n]);
  await db.sql('delete from pgmill.waiting');
  t.same((await worker.query(`select id from pgmill.get_jobs('w', 1)`)).rows, []);
  t.match(await value(worker, `select current_setting('pgmill.mark_' || ${forDefault}, true)`), /\d/);
  await holder.query('commit');
});

t.test('when looking for leases that ran out is slow, ticks in a row do it once, and none is missed', async (t) => {
  const [holder, worker] = [await db.client(), await db.client()];
  const leases = async (count: number) => {
    const { id } = await run(db);
    await db.sql(
      `insert into pgmill.running select (r.r).* from (
         select jsonb_populate_record(r, jsonb_build_object('id', -n, 'lease_until', '2001-01-01Z'::timestamptz)) as r from pgmill.running r, generate_series(1, $2) n where r.id = $1) r`,
      [id, count],
    );
    return id;
  };
  const reclaimed = async () =>
    (await worker.query('select * from pgmill.tick()')).rows.filter(({ task }) => task === 'reclaim');
  const id = await leases(100_000);
  await holder.query('begin isolation level repeatable read; select 1');
  await db.sql('delete from pgmill.running where id < 0');
  t.same(await reclaimed(), []);
  await db.sql(`update pgmill.running set lease_until = clock_timestamp() where id = $1`, [id]);
  t.match(await value(worker, `select current_setting('pgmill.mark_tick', true)`), /^\d/, 'it took long');
  const until = (time: string) => worker.query(`select pgmill.write_mark('tick', clock_timestamp(), ${time})`);
  await until(`clock_timestamp() + interval '1 minute'`);
  t.same(await reclaimed(), [], 'not again until then');
  await until('clock_timestamp()');
  t.same(await reclaimed(), [{ task: 'reclaim', changed: '1' }]);

  await holder.query('commit');
  await run(db);
  await db.sql(`update pgmill.running set lease_until = clock_timestamp()`);
  t.same((await db.sql('select task from pgmill.tick()'))[0], { task: 'reclaim' }, 'otherwise every tick does');
});
