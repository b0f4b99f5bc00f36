// Large payloads: they lie in pgmill.payload, written once, while the job's row goes from room to room.
import t, { type Test } from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, unchanged } from './contents.js';
import { complete as completeTicks, due, fire, jobsOf, upsert } from './cron_help.js';
import { add, claim, empty, failed, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

/** A payload, as SQL, that cannot be compressed much. */
const noise = (bytes: number, seed = 0) =>
  `to_jsonb((select left(string_agg(md5('${seed}' || i), ''), ${bytes}) from generate_series(0, ${bytes} / 32) i))`;
const large = noise(5000);
const other = noise(6000, 1);
const text = (payload: string): Promise<string> => value(db, `select (${payload}) #>> '{}'`);

/** Where each large payload lies, and which transaction wrote it. */
const aside = () => db.sql('select p.id, p.ctid::text, p.xmin::text from pgmill.payload p order by p.id');
const ids = async () => (await aside()).map(({ id }) => id);
const look = async (id: string) => (await db.sql('select * from pgmill.find_job($1)', [id]))[0];

/** No row lies there without its job, and none is missing. */
async function sound(t: Test, message = 'what lies aside is what the jobs lack') {
  const lacking = await db.sql(`
    select id from pgmill.waiting where payload is null union all select id from pgmill.ready where payload is null
    union all select id from pgmill.running where payload is null union all select id from pgmill.finished where payload is null
    order by id`);
  t.same(
    await ids(),
    lacking.map(({ id }) => id),
    message,
  );
}

t.test('up to 1600 bytes a payload lies in the row, above it aside', async (t) => {
  const sized = (bytes: number) => `(select to_jsonb(repeat('x', n)) from generate_series(1, 2000) n
    where pg_column_size(to_jsonb(repeat('x', n))) <= ${bytes} order by n desc limit 1)`;
  t.equal(await value(db, `select pg_column_size(${sized(1600)})`), 1600);
  t.equal(await value(db, `select pg_column_size(${sized(1604)})`), 1604);
  const each = (bytes: number) => [
    add(db, `'work', ${sized(bytes)}`),
    add(db, `'work', ${sized(bytes)}, run_at => '2100-01-01'`),
    value(
      db,
      `select id from pgmill.add_jobs(jsonb_build_array(jsonb_build_object('name', 'work', 'payload', ${sized(bytes)})))`,
    ),
    value(
      db,
      `select id from pgmill.add_jobs(jsonb_build_array(jsonb_build_object('name', 'work', 'payload', ${sized(bytes)}, 'run_at', '2100-01-01')))`,
    ),
    value(
      db,
      `select id from pgmill.add_jobs(jsonb_build_array(jsonb_build_object('name', 'work', 'payload', ${sized(bytes)}, 'unique_key', '${bytes}')))`,
    ),
  ];
  await Promise.all(each(1600));
  t.same(await ids(), []);
  const above = await Promise.all(each(1604));
  t.same(
    await ids(),
    above.map(String).sort((a, b) => Number(a) - Number(b)),
  );
  await sound(t);
  const sizes = await db.sql(`select distinct pg_column_size(j.payload #> '{}') as size from pgmill.job j order by 1`);
  t.same(sizes, [{ size: 1600 }, { size: 1604 }]);
});

t.test('a payload is found, claimed and kept, whatever its size, and an ordinary row is never toasted', async (t) => {
  const sizes = [0, 1, 1500, 1700, 3000, 8000, 9000, 100_000, 1_000_000];
  for (const n of sizes) await add(db, `'work', ${noise(n)}`);
  await add(db, `'work', to_jsonb(repeat('x', 9000))`);
  await add(db, `'work', 'null'`);
  const lengths = [...sizes, 9000, null];
  t.same(
    (await db.sql(`select length(payload #>> '{}') as n from pgmill.find_jobs()`)).map(({ n }) => n),
    lengths,
  );
  const claimed = await db.sql(
    `select id, token, length(payload #>> '{}') as n, md5(payload::text) as md5 from pgmill.get_jobs('w', 100)`,
  );
  t.same(
    claimed.map(({ n }) => n),
    lengths,
  );
  t.equal(claimed[7].md5, await value(db, `select md5((${noise(100_000)})::text)`));
  const done = await db.sql('select * from pgmill.complete_jobs($1, $2)', [
    claimed.map(({ id }) => id),
    claimed.map(({ token }) => token),
  ]);
  t.ok(done.every(({ outcome }) => outcome === 'completed'));
  t.same(
    (await db.sql(`select length(payload #>> '{}') as n from pgmill.find_jobs('completed')`)).map(({ n }) => n),
    lengths,
  );
  await sound(t);
  const toasted = await db.sql(`
    select c.relname from pg_class c where c.relnamespace = 'pgmill'::regnamespace and c.relname ~ '^(waiting|ready|running|finished)'
      and pg_relation_size(nullif(c.reltoastrelid, 0)) > 0`);
  t.same(toasted, []);
});

t.test('it is written once: no move of its job touches it', async (t) => {
  const { id, token } = await run(db, `'work', ${large}, run_at => clock_timestamp(), max_attempts => 9`);
  const small = await add(db, `'work', '{}', run_at => '2100-01-01'`);
  const before = await aside();
  t.same(
    before.map((row) => row.id),
    [id],
  );
  const same = async (state: string, message: string) => {
    t.same(await aside(), before, message);
    const job = await look(id);
    t.equal(job.state, state, message);
    t.equal(job.payload, await text(large), message);
  };
  const again = async () => {
    await db.sql(`update pgmill.waiting set run_at = now() where id = $1`, [id]);
    const [lease] = await db.sql(`select id, token, payload from pgmill.get_job('w')`);
    t.equal(lease.id, id);
    t.equal(lease.payload, await text(large));
    return lease.token;
  };
  await same('running', 'add, claim');
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck')`, [id, token]);
  await same('scheduled', 'fail');
  await db.sql(`select pgmill.snooze_job($1, $2, now() + interval '1 hour')`, [id, await again()]);
  await same('scheduled', 'snooze');
  await db.sql(`select * from pgmill.release_jobs(array[$1::bigint], array[$2::uuid])`, [id, await again()]);
  await same('ready', 'release');
  await db.sql('select pgmill.update_job($1, priority => 9)', [id]);
  await same('ready', 'update of something else');
  await db.sql(`select pgmill.cancel_job($1)`, [id]);
  await same('cancelled', 'cancel');
  t.equal(await value(db, 'select pgmill.retry_job($1)', [id]), true);
  await same('ready', 'retry');
  await again();
  await db.sql(`update pgmill.running set lease_until = now() - interval '1 hour'`);
  await db.sql('select pgmill.reclaim()');
  await same('scheduled', 'reclaim');
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', final => true)`, [id, await again()]);
  await same('failed', 'last failure');
  await db.sql('select * from pgmill.retry_jobs()');
  await db.sql('select pgmill.complete_job($1, $2)', [id, await again()]);
  await same('completed', 'complete');
  t.same((await look(small)).payload, {});
});

t.test('a job that is forgotten takes it along; a lost lease does not', async (t) => {
  const small = await run(db);
  const [kept, gone, lost] = [
    await run(db, `'work', ${large}`),
    await run(db, `'work', ${large}`),
    await run(db, `'work', ${large}`),
  ];
  const forget = 'select * from pgmill.complete_jobs($1::bigint[], $2::uuid[], keep => $3)';
  await db.sql(forget, [[kept.id], [kept.token], true]);
  await db.sql(forget, [[gone.id, small.id, lost.id], [gone.token, small.token, kept.token], false]);
  t.same(await ids(), [kept.id, lost.id].sort());
  await sound(t);
  const one = await run(db, `'work', ${large}`);
  await db.sql('select pgmill.complete_job($1, $2, keep => false)', [one.id, one.token]);
  await sound(t);
});

t.test('add_jobs: only the large ones of a call lie aside, in any room, with and without a key', async (t) => {
  const rows = await db.sql(`select a.id from pgmill.add_jobs(jsonb_build_array(
    jsonb_build_object('name', 'a', 'payload', 1),
    jsonb_build_object('name', 'b', 'payload', ${large}),
    jsonb_build_object('name', 'c', 'payload', ${other}, 'run_at', '2100-01-01'),
    jsonb_build_object('name', 'd', 'run_at', '2100-01-01'),
    jsonb_build_object('name', 'e', 'payload', ${large}, 'unique_key', 'k'),
    jsonb_build_object('name', 'f', 'payload', ${other}, 'unique_key', 'k', 'on_duplicate', 'replace'),
    jsonb_build_object('name', 'g', 'payload', null))) a`);
  const [, b, c, , e, f] = rows.map(({ id }) => id);
  t.equal(e, f);
  t.same(await ids(), [b, c, e]);
  await sound(t);
  const jobs = await db.sql('select name, payload from pgmill.job order by name');
  const [l, o] = [await text(large), await text(other)];
  t.same(
    jobs.map(({ payload }) => payload),
    [1, l, o, {}, o, {}],
  );
  t.same(
    jobs.map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'f', 'g'],
  );
});

t.test('replacing a job replaces its payload, from and to any size', async (t) => {
  const sizes = { small: `'1'`, large, other, alsoSmall: `'2'` };
  for (const run_at of ['null', `'2100-01-01'`]) {
    for (const [from, first] of Object.entries(sizes)) {
      for (const [to, second] of Object.entries(sizes)) {
        await empty(db);
        const rest = `run_at => ${run_at}, unique_key => 'k', on_duplicate => 'replace'`;
        const id = await add(db, `'work', ${first}, ${rest}`);
        t.equal(await add(db, `'work', ${second}, ${rest}`), id);
        t.equal(
          await value(db, `select payload = (${second})::jsonb from pgmill.job`),
          true,
          `add_job: ${from} to ${to}`,
        );
        await sound(t, `add_job: ${from} to ${to}`);
        await db.sql(`select pgmill.update_job($1, ${first})`, [id]);
        t.equal(
          await value(db, `select payload = (${first})::jsonb from pgmill.job`),
          true,
          `update_job: ${to} to ${from}`,
        );
        await sound(t, `update_job: ${to} to ${from}`);
        t.same(await ids(), from === 'large' || from === 'other' ? [id] : []);
      }
    }
  }
});

t.test('skip, error, a wrong call and a rollback leave it as it is', async (t) => {
  const id = await add(db, `'work', ${large}, unique_key => 'k'`);
  const before = await contents(db);
  t.equal(await add(db, `'work', '1', unique_key => 'k'`), id);
  await t.rejects(add(db, `'work', '1', unique_key => 'k', on_duplicate => 'error'`), { code: 'PM004' });
  await t.rejects(db.sql(`select pgmill.update_job($1, '1', max_attempts => 0)`, [id]), { code: 'PM001' });
  const client = await db.client();
  for (const call of [
    `add_job('work', '1', unique_key => 'k', on_duplicate => 'replace')`,
    `add_job('work', ${other}, unique_key => 'k', on_duplicate => 'replace')`,
    `add_job('more', ${large})`,
    `update_job(${id}, '1')`,
    `cancel_job(${id})`,
  ]) {
    await client.query('begin');
    await client.query(`select pgmill.${call}`);
    await client.query('rollback');
    await unchanged(t, db, before, call);
  }
  const { token } = (await claim(db))[0] ?? {};
  t.equal(await add(db, `'work', '1', unique_key => 'k', on_duplicate => 'replace'`), id, 'it runs, and stays');
  await t.rejects(db.sql(`select pgmill.update_job($1, '1')`, [id]), { code: 'PM005' });
  t.equal((await look(id)).payload, await text(large));
  await client.query('begin');
  await client.query('select pgmill.complete_job($1, $2, keep => false)', [id, token]);
  await client.query('rollback');
  t.equal((await look(id)).payload, await text(large));
  await sound(t);
});

t.test('a claim passes over a job that is just being replaced, and a second replacement waits', async (t) => {
  const id = await add(db, `'work', ${large}, unique_key => 'k'`);
  const [first, second] = [await db.client(), await db.client()];
  const replace = (payload: string) =>
    `select pgmill.add_job('work', ${payload}, unique_key => 'k', on_duplicate => 'replace') as id`;
  await first.query('begin');
  await first.query(replace(`'1'`));
  t.same(await claim(db), []);
  t.equal((await look(id)).payload, await text(large), 'nobody sees it yet');
  const { result } = await whileBlocked(db, second, replace(other));
  await first.query('commit');
  t.same(await result, [{ id }]);
  t.equal((await look(id)).payload, await text(other));
  await sound(t);

  await first.query('begin');
  await first.query(`select * from pgmill.get_jobs('w', 1)`);
  const update = await whileBlocked(db, second, `select pgmill.update_job($1, '1')`, [id]);
  await first.query('commit');
  await t.rejects(update.result, { code: 'PM005' });
  t.equal((await look(id)).payload, await text(other));
  await sound(t);
});

t.test('a schedule fires jobs with large payloads', async (t) => {
  await upsert(db, `'report', '0 0 1 1 *', payload => ${large}, missed => 'all', overlap => true`);
  await due(db, 'report', 1);
  t.equal(await fire(db), 2);
  const jobs = await jobsOf(db, 'report');
  t.same(
    await ids(),
    jobs.map(({ id }) => id),
  );
  const [lease] = await db.sql(`select id, payload, cron from pgmill.get_job('w')`);
  t.equal(lease.payload, await text(large));
  t.equal(await completeTicks(db, 'report'), 1);
  await sound(t);
});

/** Makes a day's partition for completed jobs, so many days ago (UTC), with large and small jobs in it. */
async function addDay(daysAgo: number, larges: number, smalls: number): Promise<string> {
  const start = `date_trunc('day', now(), 'UTC') - interval '${daysAgo * 24} hours'`;
  const leaf = await value(db, `select 'finished_completed_' || to_char((${start}) at time zone 'UTC', 'YYYYMMDD')`);
  const [from, to] = [
    await value(db, `select (${start})::text`),
    await value(db, `select (${start} + interval '24 hours')::text`),
  ];
  await db.sql(
    `create table pgmill.${leaf} partition of pgmill.finished_completed (primary key (id)) for values from ('${from}') to ('${to}')`,
  );
  await old(`${start} + interval '1 hour'`, larges, smalls);
  return leaf;
}

async function old(finishedAt: string, larges: number, smalls: number): Promise<void> {
  await db.sql(
    `
    with job as (
      insert into pgmill.finished (id, queue, name, payload, priority, run_at, attempts, max_attempts, created_at, state, finished_at)
      select nextval('pgmill.job_id'), 'default', 'old', case when i > $1::int then '{}'::jsonb end, 5, now(), 1, 3, now(), 'completed', ${finishedAt}
      from generate_series(1, $1::int + $2::int) i
      returning id, payload
    )
    insert into pgmill.payload select j.id, '1' from job j where j.payload is null`,
    [larges, smalls],
  );
}
const cleanup = async (args = '') => Number(await value(db, `select removed from pgmill.cleanup(${args})`));

t.test('cleanup removes it with the jobs that it deletes', async (t) => {
  const done = await run(db, `'work', ${large}`);
  await db.sql('select pgmill.complete_job($1, $2)', [done.id, done.token]);
  const live = await add(db, `'work', ${large}`);
  const fail = await failed(db, `'other', ${large}, queue => 'q'`, 'q');
  await old(`now() - interval '100 days'`, 3, 2);
  await old(`now() - interval '4 days'`, 1, 1);
  await sound(t);
  t.equal(await cleanup(), 5);
  await sound(t);
  t.equal((await ids()).length, 4);
  t.equal(await cleanup(`'0'`), 3);
  t.same(await ids(), [live, fail], 'those of a live job and of a failed one stay');
  await sound(t);
});

t.test('cleanup removes it with the days that it drops, and leaves a day in use as it is', async (t) => {
  const leaf = await addDay(8, 3, 4);
  const [next, young] = [await addDay(9, 0, 2), await addDay(2, 2, 1)];
  const exists = (name: string) => value(db, `select to_regclass('pgmill.' || $1) is not null`, [name]);
  const reader = await db.client();
  await reader.query('begin');
  await reader.query('select count(*) from pgmill.finished');
  t.equal(await cleanup(), 3, 'a reader is in the way of dropping, not of deleting');
  await sound(t);
  t.equal(await exists(leaf), true);
  await reader.query('commit');
  t.equal(await cleanup(), 6);
  t.equal(await exists(leaf), false);
  t.equal(await exists(next), false);
  t.equal(await exists(young), true);
  await sound(t);
  t.equal((await ids()).length, 2);
  await db.sql(`drop table pgmill.${young}`);
});

t.test('a day with more than 100,000 large payloads is dropped by a later call', async (t) => {
  const leaf = await addDay(8, 100_010, 5);
  await db.sql(`alter table pgmill.${leaf} set (autovacuum_enabled = false)`); // it would be in use, and left alone
  const exists = () => value(db, `select to_regclass('pgmill.' || $1) is not null`, [leaf]);
  t.equal(await cleanup(), 100_000);
  await sound(t);
  t.equal(await exists(), true);
  t.equal(await cleanup(), 15);
  t.equal(await exists(), false);
  await sound(t);
});

t.test('a claim finds it through the index, and looks only where a row has none', async (t) => {
  await add(db, `'work', ${large}`);
  for (let i = 0; i < 20; i++) await add(db);
  const client = await db.client();
  await client.query('begin');
  await client.query(`select * from pgmill.get_jobs('w', 100)`);
  const { rows } = await client.query(
    `select idx_scan::int, seq_scan::int from pg_stat_xact_user_tables where schemaname = 'pgmill' and relname = 'payload'`,
  );
  t.same(rows, [{ idx_scan: 1, seq_scan: 0 }]);
  await client.query('rollback');
});
