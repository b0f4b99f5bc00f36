// get_jobs and get_job, and what they are made of: admit_due, claim_across; next_run_at, which asks the same question.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, matches, room, unchanged } from './contents.js';
import { add, empty, rooms, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

/** Claims with get_jobs' parameters, given as SQL; the names of the jobs, in the order they came. */
const names = async (args: string, on: { query: typeof db.pool.query } = db.pool): Promise<string> =>
  (await on.query(`select name from pgmill.get_jobs('w', ${args})`)).rows.map(({ name }) => name).join(' ');

/** Adds jobs: name, priority, run_at, queue. */
async function addAll(...jobs: [name: string, priority?: number, runAt?: string, queue?: string][]): Promise<void> {
  for (const [name, priority = 5, runAt = '2000-01-01', queue = 'default'] of jobs) {
    const id = await value(db, 'select pgmill.add_job($1, priority => $2, queue => $3)', [name, priority, queue]);
    await db.sql('update pgmill.ready set run_at = $2 where id = $1', [id, runAt]);
  }
}

/** Makes scheduled jobs due, all at different times. */
const due = () =>
  db.sql(`update pgmill.waiting set run_at = clock_timestamp() - interval '1 hour' + interval '1 millisecond' * id`);

t.test('a lower priority number runs first, then the earlier run_at, then the lower id', async (t) => {
  await addAll(
    ['e', 7],
    ['c', 5, '2001-01-01'],
    ['b', 5, '2000-01-02'],
    ['d', 5, '2001-01-01'],
    ['a', -1, '2002-01-01'],
    ['f', 7],
  );
  t.equal(await names('10'), 'a b c d e f', 'within a batch');
  await empty(db);
  await addAll(
    ['e', 7],
    ['c', 5, '2001-01-01'],
    ['b', 5, '2000-01-02'],
    ['d', 5, '2001-01-01'],
    ['a', -1, '2002-01-01'],
    ['f', 7],
  );
  const one: string[] = [];
  for (let n = 0; n < 6; n++) one.push(await names('1'));
  t.same(one, ['a', 'b', 'c', 'd', 'e', 'f'], 'and one by one');
  t.equal(await names('1'), '', 'then there is nothing left');
});

t.test('a job added later with a lower number goes first', async (t) => {
  await addAll(['a', 5], ['b', 5]);
  t.equal(await names('1'), 'a');
  await addAll(['urgent', 4]);
  t.equal(await names('2'), 'urgent b');
});

t.test('the order holds whichever slot of the ring the jobs lie in', async (t) => {
  for (const [name, slot] of Object.entries({ c: 0, a: 1, b: 2 })) {
    await addAll([name, name.charCodeAt(0)]);
    await db.sql('update pgmill.ready set slot = $2 where name = $1', [name, slot]);
  }
  t.equal(await names('2'), 'a b');
  t.equal(await names('2'), 'c');
});

t.test('the order holds over several queues, which are all asked', async (t) => {
  await addAll(
    ['c', 3, undefined, 'x'],
    ['a', 1, undefined, 'y'],
    ['d', 4, undefined, 'z'],
    ['b', 2, undefined, 'x'],
    ['no', 0, undefined, 'other'],
  );
  t.equal(await names(`3, '{x,y,z}'`), 'a b c', 'within a batch');
  await addAll(['e', 3, undefined, 'y'], ['f', 9, undefined, 'y']);
  t.equal(await names(`1, '{x,y,z,x}'`), 'e', 'one at a time');
  t.equal(await names(`10, '{x,y,z}'`), 'd f');
  await addAll(['g', 1, undefined, 'x'], ['i', 3, undefined, 'x'], ['h', 2, undefined, 'y']);
  t.equal(await names(`2, '{x,y,x}'`), 'g h', 'a queue named twice counts once');
  t.equal(await names(`2, '{x,x}'`), 'i');
  t.equal(await names(`10, '{x,y,z}'`), '');
  t.same(await db.sql('select name from pgmill.ready'), [{ name: 'no' }], 'other queues are left alone');
});

t.test('unordered takes one queue after the other, each in its order', async (t) => {
  await addAll(['c', 1, undefined, 'x'], ['d', 2, undefined, 'x'], ['a', 8, undefined, 'y'], ['b', 9, undefined, 'y']);
  t.equal(await names(`3, '{y,none,x}', unordered => true`), 'a b c');
  t.equal(await names(`3, '{y,none,x}', unordered => true`), 'd');
});

t.test('names and except_names choose; null is any, an empty list of names is none', async (t) => {
  await addAll(['a', 1], ['b', 2], ['c', 3], ['a', 4, undefined, 'x'], ['b', 5, undefined, 'x']);
  t.equal(await names(`10, names => '{}'`), '');
  t.equal(await names(`10, names => '{nothing,B}'`), '', 'names are exact');
  t.equal(await names(`1, names => '{c,b}'`), 'b', 'the most urgent one among them');
  t.equal(await names(`10, except_names => '{a}'`), 'c');
  t.equal(await names(`10, '{default,x}', except_names => '{b,c}'`), 'a a', 'over several queues');
  t.equal(await names(`10, '{default,x}', names => '{a}'`), '');
  t.equal(await names(`10, '{default,x}', except_names => '{}'`), 'b');
});

t.test('claims at most max_jobs, and no other queue than the default one when none is named', async (t) => {
  await addAll(['a'], ['b'], ['c'], ['x', 0, undefined, 'other']);
  t.equal(await names('2'), 'a b');
  t.equal(await names('2'), 'c');
  t.equal(await names('2'), '');
  t.same(
    (await room(db, 'ready')).map(({ name }) => name),
    ['x'],
  );
});

t.test('tells everything of a job, and charges the attempt', async (t) => {
  const id = await add(
    db,
    `'work', '{"a": 1}', 'mail', 3, max_attempts => 4, timeout => '7 seconds', unique_key => 'k'`,
  );
  const other = await add(db, `'other'`);
  const before = await rooms(db);
  const [was] = await room(db, 'ready');
  const [job] = await db.sql(
    `select g.*, g.timeout::text, g.lease_until - clock_timestamp() between '89 seconds' and '90 seconds' as leased
     from pgmill.get_jobs('w1', 1, '{mail}', lease => '90 seconds') g`,
  );
  const { run_at, created_at, token, lease_until, leased, ...rest } = job;
  t.strictSame(rest, {
    id,
    queue: 'mail',
    name: 'work',
    payload: { a: 1 },
    priority: 3,
    attempt: 1,
    max_attempts: 4,
    timeout: '00:00:07',
    cron: null,
  });
  t.match(token, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a random token');
  t.ok(leased, 'the lease begins now');
  t.same(run_at, created_at);
  const [is] = await room(db, 'running');
  const { slot: _, ...same } = was as Record<string, unknown>;
  t.match(is, { ...same, attempts: 1, worker: 'w1', token, cancel_requested: false }, 'all else travels with it');
  t.same(await value(db, 'select lease_until from pgmill.running'), lease_until);
  t.equal(await value(db, `select lease_until - claimed_at = '90 seconds' from pgmill.running`), true);
  t.equal((await rooms(db)).get(other), before.get(other), 'the other job is as it was');
  t.equal((await rooms(db)).get(null), before.get(null), 'and so are the keys');
});

t.test('each claim makes another token, and the next attempt is charged', async (t) => {
  await addAll(['a'], ['b'], ['c']);
  const claimed = await db.sql(`select * from pgmill.get_jobs('w', 3)`);
  t.equal(new Set(claimed.map(({ token }) => token)).size, 3);
  await db.sql(`select pgmill.fail_job($1, $2, 'x', retry_in => '0')`, [claimed[0]?.id, claimed[0]?.token]);
  const [again] = await db.sql(`select * from pgmill.get_jobs('w', 3)`);
  t.equal(again?.id, claimed[0]?.id);
  t.not(again?.token, claimed[0]?.token);
  t.equal(again?.attempt, 2);
});

t.test('get_job is get_jobs of one: a row, or none', async (t) => {
  await addAll(['c', 3], ['a', 1], ['b', 2, undefined, 'x']);
  const [job] = await db.sql(`select * from pgmill.get_job('w', '{default,x}', lease => '5 minutes')`);
  t.match(job, { name: 'a', attempt: 1 });
  t.ok(await value(db, `select lease_until - claimed_at = '5 minutes' from pgmill.running`));
  t.equal((await room(db, 'running')).length, 1);
  matches(t, await db.sql(`select * from pgmill.get_job('w', names => '{c}')`), [{ name: 'c' }]);
  t.same(await db.sql(`select * from pgmill.get_job('w', except_names => '{b}')`), []);
  matches(t, await db.sql(`select * from pgmill.get_job('w', '{none,x}', unordered => true)`), [{ name: 'b' }]);
  const columns = (name: string) => value(db, `select pg_get_function_result('pgmill.${name}'::regproc)`);
  t.equal(await columns('get_job'), await columns('get_jobs'), 'with the same columns');
});

t.test('a claim rolled back has not happened', async (t) => {
  await addAll(['a'], ['b', 5, undefined, 'x']);
  await add(db, `'later', run_at => '2100-01-01'`);
  await due();
  const before = await contents(db);
  const client = await db.client();
  await client.query('begin');
  t.equal(await names(`10, '{default,x}'`, client), 'a b later');
  await client.query('rollback');
  await unchanged(t, db, before, 'the jobs are where they were, and no attempt is charged');
});

t.test('two workers never get the same job, and the second one does not wait', async (t) => {
  await addAll(['a', 1], ['b', 2], ['c', 3], ['d', 4]);
  const [first, second] = [await db.client(), await db.client()];
  await second.query(`set lock_timeout = '1ms'`);
  await first.query('begin');
  t.equal(await names('2', first), 'a b');
  t.equal(await names('1', second), 'c', 'the first claim is not committed, its jobs are passed over');
  await first.query('commit');
  t.equal(await names('5', second), 'd');
  t.same(
    (await room(db, 'running')).map(({ name, attempts }) => `${name}${attempts}`),
    ['a1', 'b1', 'c1', 'd1'],
  );
});

t.test('over several queues the second worker gets what the first one left', async (t) => {
  await addAll(['a', 1, undefined, 'x'], ['c', 3, undefined, 'y'], ['b', 2, undefined, 'z']);
  const [first, second] = [await db.client(), await db.client()];
  await second.query(`set lock_timeout = '1ms'`);
  await first.query('begin');
  t.equal(await names(`1, '{x,y,z}'`, first), 'a');
  t.equal(await names(`1, '{x,y,z}'`, second), 'b', 'and does not go empty-handed because of the one it saw');
  t.equal(await names(`1, '{x,y,z}', names => '{a,b}'`, second), '', 'unless nothing else is left');
  t.equal(await names(`5, '{x,y,z}', except_names => '{a}'`, second), 'c');
  await first.query('rollback');
  t.equal(await names(`5, '{x,y,z}'`, second), 'a');
});

t.test('passes over jobs that somebody just changes, and over due ones that somebody just lets in', async (t) => {
  await addAll(['a', 1], ['b', 2]);
  await add(db, `'c', run_at => '2100-01-01'`);
  await due();
  const [first, second] = [await db.client(), await db.client()];
  await second.query(`set lock_timeout = '1ms'`);
  await first.query('begin');
  await first.query(`select * from pgmill.ready where name = 'a' for update`);
  await first.query(`select * from pgmill.waiting where name = 'c' for update`);
  t.equal(await names('5', second), 'b');
  await first.query('commit');
  t.equal(await names('5', second), 'a c');
});

t.test(
  'a job is not claimed before its time, and is once the time has come, by the clock of the database',
  async (t) => {
    const id = await add(db, `'later', run_at => clock_timestamp() + interval '1 second'`);
    const before = await contents(db);
    t.equal(await names('10'), '');
    t.equal(await names(`10, '{default,x}'`), '');
    t.equal(await names(`10, unordered => true`), '');
    await db.sql('select * from pgmill.tick()');
    await unchanged(t, db, before, 'it stays where it is');
    await db.sql(`update pgmill.waiting set run_at = clock_timestamp() - interval '1 microsecond'`);
    const [was] = await room(db, 'waiting');
    t.equal(await names('10'), 'later');
    matches(t, await room(db, 'running'), [{ ...was, attempts: 1 }], `${id} went through ready with all it had`);
  },
);

t.test('a due job takes its place among those that are ready', async (t) => {
  await addAll(['b', 2], ['d', 4]);
  for (const [name, priority] of [
    ['c', 3],
    ['a', 1],
    ['e', 5],
  ])
    await add(db, `'${name}', priority => ${priority}, run_at => '2100-01-01'`);
  await due();
  t.equal(await names('2'), 'a b');
  t.same((await room(db, 'ready')).map(({ name }) => name).sort(), ['c', 'd', 'e'], 'all that are due were let in');
  t.equal(await names(`9, '{x,default}'`), 'c d e');
});

t.test('lets in the due jobs of the queues it was asked for, the earliest 1000 of each', async (t) => {
  await db.sql(`select pgmill.add_jobs(
    (select jsonb_agg(jsonb_build_object('name', n, 'run_at', '2100-01-01T00:00:00Z', 'queue', 'q' || n % 2)) from generate_series(1, 2400) n))`);
  await due();
  await db.sql(`select count(*) from pgmill.get_jobs('w', 1, '{q1}')`);
  const counts = await db.sql(
    `select queue, state, count(*)::int, max(name::int) from pgmill.job group by 1, 2 order by 1, 2`,
  );
  t.same(counts, [
    { queue: 'q0', state: 'scheduled', count: 1200, max: 2400 },
    { queue: 'q1', state: 'ready', count: 999, max: 1999 },
    { queue: 'q1', state: 'running', count: 1, max: 1 },
    { queue: 'q1', state: 'scheduled', count: 200, max: 2399 },
  ]);
  t.equal(
    await value(db, `select count(*)::int from pgmill.get_jobs('w', 1100, '{q0}')`),
    1100,
    'more when it wants more',
  );
});

t.test('next_run_at is when the next scheduled job for this worker is due', async (t) => {
  const next = (args = '') => value(db, `select to_char(pgmill.next_run_at(${args}) at time zone 'UTC', 'YYYY-MM-DD')`);
  t.equal(await next(), null, 'null when there is none');
  await addAll(['ready']);
  await add(db, `'a', run_at => '2100-01-03Z'`);
  await add(db, `'b', run_at => '2100-01-02Z', priority => 9`);
  await add(db, `'c', run_at => '2100-01-01Z', queue => 'x'`);
  const before = await contents(db);
  t.equal(await next(), '2100-01-02');
  t.equal(await next(`'{x,default}'`), '2100-01-01');
  t.equal(await next(`'{default,x}', names => '{a}'`), '2100-01-03');
  t.equal(await next(`'{default,x}', names => '{}'`), null);
  t.equal(await next(`'{default,x}', except_names => '{c}'`), '2100-01-02');
  t.equal(await next(`'{none}'`), null);
  await unchanged(t, db, before, 'it only looks');
  await db.sql(`update pgmill.waiting set run_at = '2000-01-01Z' where name = 'a'`);
  t.equal(await next(), '2000-01-01', 'past when one is due');
});

t.test('a claim touches few rows, also in a session that planned it while everything was empty', async (t) => {
  // The tables' own autovacuum would otherwise come between, and have the session plan anew.
  for (const table of ['waiting', 'ready_0', 'ready_1', 'ready_2', 'running', 'job_key']) {
    await db.sql(`alter table pgmill.${table} set (autovacuum_enabled = false)`);
  }
  await db.sql('vacuum analyze');
  const client = await db.client();
  for (const queues of ['default', 'default,x']) {
    await client.query(`select * from pgmill.get_jobs('w', 5, '{${queues}}')`);
  }
  const lease = ['1', '00000000-0000-4000-8000-000000000000'];
  for (const fn of ['complete_jobs', 'extend_leases', 'release_jobs']) {
    await client.query(`select * from pgmill.${fn}(array[$1::bigint], array[$2::uuid])`, lease);
  }
  await client.query(`select * from pgmill.fail_job($1, $2, 'x')`, lease);
  await client.query('select pgmill.reclaim(), pgmill.next_run_at()');
  await client.query('begin');
  for (const how of [...Array(8).fill('replace'), ...Array(8).fill('skip')]) {
    await client.query(`select pgmill.add_job('x', unique_key => 'k', on_duplicate => $1)`, [how]);
  }
  for (let n = 0; n < 8; n++) {
    await client.query(`select pgmill.add_jobs('[{"name": "x", "unique_key": "k", "on_duplicate": "replace"}]')`);
  }
  await client.query('rollback');

  await db.sql(
    `select pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'n', 'unique_key', n)) from generate_series(1, 2000) n))`,
  );
  await db.sql(`select count(*) from pgmill.get_jobs('w', 1500, lease => '1 minute')`);
  await db.sql(
    `select pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'n', 'unique_key', -n)) from generate_series(1, 1500) n))`,
  );
  const fetched = async (what: string) => {
    const { rows } = await client.query(`
      select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as n from pg_stat_xact_user_tables
      where schemaname = 'pgmill' and relname ~ '^(waiting|ready|running|job_key)'`);
    await client.query('rollback');
    t.ok(rows[0].n < 150, `${what}: ${rows[0].n} rows of some 2000`);
  };
  const five = 'select array_agg(id) as ids, array_agg(token) as tokens from (select * from pgmill.running limit 5) r';
  const [{ ids, tokens }] = (await db.sql(five)) as [{ ids: string[]; tokens: string[] }];
  const calls: [string, string, unknown[]][] = [
    ['get_jobs', `select * from pgmill.get_jobs('w', 5)`, []],
    ['get_jobs of two queues', `select * from pgmill.get_jobs('w', 5, '{default,x}')`, []],
    ['complete_jobs', 'select * from pgmill.complete_jobs($1, $2)', [ids, tokens]],
    ['extend_leases', 'select * from pgmill.extend_leases($1, $2)', [ids, tokens]],
    ['release_jobs', 'select * from pgmill.release_jobs($1, $2)', [ids, tokens]],
    ['fail_job', `select * from pgmill.fail_job($1, $2, 'x')`, [ids[0], tokens[0]]],
    ['fail_job, the last time', `select * from pgmill.fail_job($1, $2, 'x', final => true)`, [ids[0], tokens[0]]],
    ['reclaim', 'select pgmill.reclaim()', []],
    ['next_run_at', 'select pgmill.next_run_at()', []],
    ['add_job with a key that is held', `select pgmill.add_job('n', unique_key => '7')`, []],
    ['add_job replacing', `select pgmill.add_job('n', unique_key => '-7', on_duplicate => 'replace')`, []],
    [
      'add_jobs replacing',
      `select pgmill.add_jobs('[{"name": "n", "unique_key": "-7", "on_duplicate": "replace"}]')`,
      [],
    ],
  ];
  for (const [what, call, params] of calls) {
    await client.query('begin');
    await client.query(call, params);
    await fetched(what);
  }
});
