import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { add, claim, empty, failed, refused, run } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const ids = async (args = ''): Promise<string[]> =>
  (await db.sql(`select id from pgmill.find_jobs(${args})`)).map(({ id }) => id);

/** One job in each state, in this order. */
async function oneOfEach() {
  const done = await run(db, `'a', queue => 'done'`, 'done');
  await db.sql('select pgmill.complete_job($1, $2)', [done.id, done.token]);
  const bad = await failed(db, `'b', queue => 'bad'`, 'bad');
  const gone = await add(db, `'c', unique_key => 'k'`);
  await db.sql('select pgmill.cancel_job($1)', [gone]);
  const { id: running } = await run(db, `'a', queue => 'busy'`, 'busy');
  const ready = await add(db, `'b', unique_key => 'k'`);
  const scheduled = await add(db, `'c', run_at => '2100-01-01 00:00Z'`);
  return { completed: done.id, failed: bad, cancelled: gone, running, ready, scheduled };
}

t.test('lists every job, by id', async (t) => {
  const jobs = Object.values(await oneOfEach());
  t.same(await ids(), jobs);
  const rows = await db.sql('select id, state from pgmill.find_jobs()');
  t.same(rows, await db.sql('select id, state from pgmill.job order by id'), 'with the states of the view');
});

t.test('filters by state', async (t) => {
  for (const [state, id] of Object.entries(await oneOfEach())) t.same(await ids(`'${state}'`), [id], state);
});

t.test('filters by queue, name and unique_key', async (t) => {
  const { completed, failed, cancelled, running, ready, scheduled } = await oneOfEach();
  t.same(await ids(`queue => 'default'`), [cancelled, ready, scheduled]);
  t.same(await ids(`queue => 'done'`), [completed]);
  t.same(await ids(`name => 'a'`), [completed, running]);
  t.same(await ids(`name => 'b'`), [failed, ready]);
  t.same(await ids(`unique_key => 'k'`), [cancelled, ready], 'also jobs that held the key before');
  t.same(await ids(`name => 'nobody'`), []);
});

t.test('filters by run_at, from then on and before then', async (t) => {
  const at = ['2100-01-01', '2100-01-02', '2100-01-03'].map((day) => `${day} 00:00Z`);
  const jobs = [];
  for (const time of at) jobs.push(await add(db, `'a', run_at => '${time}'`));
  const now = await add(db);
  t.same(await ids(`run_from => '${at[1]}'`), jobs.slice(1), 'the bound itself is in');
  t.same(await ids(`run_until => '${at[1]}'`), [jobs[0], now], 'the bound itself is out');
  t.same(await ids(`run_from => '${at[0]}', run_until => '${at[2]}'`), jobs.slice(0, 2));
  t.same(await ids(`run_from => '${at[1]}', run_until => '${at[1]}'`), [], 'an empty range');
});

t.test('joins filters with and', async (t) => {
  const { ready, cancelled } = await oneOfEach();
  t.same(await ids(`'ready', 'default', 'b', 'k'`), [ready]);
  t.same(await ids(`'cancelled', unique_key => 'k'`), [cancelled]);
  for (const none of [
    `'ready', 'busy'`,
    `'ready', name => 'c'`,
    `'running', unique_key => 'k'`,
    `name => 'a', unique_key => 'k'`,
  ]) {
    t.same(await ids(none), [], none);
  }
});

t.test('goes on after the last id of a page, and shows each job once', async (t) => {
  await db.sql(
    `select pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'n' || i % 3)) from generate_series(1, 50) i))`,
  );
  await claim(db);
  await db.sql(
    `select pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'n' || i % 3)) from generate_series(1, 57) i))`,
  );
  const all = (await db.sql('select id from pgmill.job order by id')).map(({ id }) => id);
  t.equal(all.length, 107);
  t.same(await ids(), all.slice(0, 100), '100 without max_jobs');
  const seen: string[] = [];
  for (let after = 'null'; ; after = seen.at(-1) ?? '') {
    const page = await ids(`max_jobs => 10, after_id => ${after}`);
    if (page.length === 0) break;
    t.ok(page.length <= 10);
    seen.push(...page);
  }
  t.same(seen, all);
  t.same(
    await ids(`name => 'n1', after_id => ${all[60]}, max_jobs => 2`),
    (await ids(`name => 'n1'`)).filter((id) => Number(id) > Number(all[60])).slice(0, 2),
  );
  t.same(await ids('after_id => -5'), all.slice(0, 100));
});

t.test('refuses each argument that makes no sense', async (t) => {
  await oneOfEach();
  await refused(t, db, [
    `find_jobs('')`,
    `find_jobs('waiting')`,
    `find_jobs('Ready')`,
    `find_jobs(queue => '')`,
    `find_jobs(queue => repeat('x', 256))`,
    `find_jobs(name => '')`,
    `find_jobs(name => repeat('x', 256))`,
    `find_jobs(unique_key => '')`,
    `find_jobs(unique_key => repeat('x', 256))`,
    `find_jobs(run_from => 'infinity')`,
    `find_jobs(run_from => '-infinity')`,
    `find_jobs(run_until => 'infinity')`,
    `find_jobs(run_until => '-infinity')`,
    `find_jobs(run_from => '2026-01-02', run_until => '2026-01-01')`,
    'find_jobs(max_jobs => null)',
    'find_jobs(max_jobs => 0)',
    'find_jobs(max_jobs => -1)',
    'find_jobs(max_jobs => 10001)',
  ]);
  t.equal((await ids('max_jobs => 10000')).length, 6);
});
