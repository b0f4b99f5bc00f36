// add_jobs, and its helpers add_plain_jobs, check_jobs, check_keys, read_jobs.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, room, unchanged } from './contents.js';
import { blocked, claim, empty, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

interface Added {
  id: string;
  created: boolean;
}
const text = 'select * from pgmill.add_jobs($1)';
const addJobs = (jobs: unknown): Promise<Added[]> => db.sql<Added>(text, [JSON.stringify(jobs)]);
const keyed = (...keys: string[]) => JSON.stringify(keys.map((key) => ({ name: key, unique_key: key })));

t.test('returns a row for each object, in their order, whatever room they go to', async (t) => {
  const jobs = ['a', 'b', 'c', 'd', 'e', 'f'].map((name, n) => ({
    name,
    ...(n % 2 === 1 && { run_at: '2100-01-01T00:00:00Z' }),
    ...(n % 3 === 0 && { unique_key: `key ${9 - n}` }),
  }));
  const added = await addJobs(jobs);
  const rows = await db.sql('select id, name, state from pgmill.job order by id');
  t.same(
    rows,
    jobs.map(({ name }, n) => ({ id: added[n]?.id, name, state: n % 2 === 1 ? 'scheduled' : 'ready' })),
    'and the ids rise in that order, so that equally urgent jobs run in it',
  );
  t.same(
    added.map(({ created }) => created),
    jobs.map(() => true),
  );
  t.same(
    (await claim(db)).map(({ id }) => id),
    [added[0]?.id, added[2]?.id, added[4]?.id],
  );
});

t.test('a key of an object means what the parameter of add_job means', async (t) => {
  const all: Record<string, [unknown, string]> = {
    name: ['x', `'x'`],
    payload: [{ a: 1 }, `'{"a": 1}'`],
    queue: ['mail', `'mail'`],
    priority: [-3, '-3'],
    run_at: ['2100-01-01T00:00:00.123456Z', `'2100-01-01 00:00:00.123456Z'`],
    max_attempts: [1, '1'],
    timeout: ['90 seconds', `'90 seconds'`],
    retry_base: ['0', `'0'`],
    retry_max: ['2 days 3 hours', `'2 days 3 hours'`],
    unique_key: ['k', `'k'`],
    on_duplicate: ['skip', `'skip'`],
  };
  const parameters = await value(
    db,
    `select array_agg(p order by p) from pg_proc, unnest(proargnames) p where oid = 'pgmill.add_job'::regproc`,
  );
  t.same(Object.keys(all).sort(), parameters, 'each has a case here');
  for (const [key, [given, sql]] of Object.entries(all)) {
    await empty(db);
    await addJobs([key === 'name' ? { name: given } : { name: 'a', [key]: given }]);
    await db.sql('delete from pgmill.job_key');
    await db.sql(key === 'name' ? `select pgmill.add_job(${sql})` : `select pgmill.add_job('a', ${key} => ${sql})`);
    const rows = await db.sql(`
      select to_jsonb(j) - '{id,created_at}'::text[] || jsonb_build_object('run_at', nullif(j.run_at, j.created_at)) as job
      from pgmill.job j`);
    t.equal(rows.length, 2, key);
    t.same(rows[0], rows[1], key);
  }
});

t.test('a key that is null has the default, as if it was left out', async (t) => {
  const nulls = { payload: null, queue: null, priority: null, run_at: null, max_attempts: null, timeout: null };
  await addJobs([
    { name: 'a', ...nulls, retry_base: null, retry_max: null, unique_key: null, on_duplicate: null },
    { name: 'a' },
  ]);
  const [first, second] = await db.sql(`select to_jsonb(r) - 'id' as row from pgmill.ready r`);
  t.same(first, second);
});

t.test('jobs are the same when all of the call are plain, and when one is not', async (t) => {
  const plain = [
    { name: 'a' },
    { name: 'b', payload: { a: [1, 'x', null] }, priority: -3, max_attempts: 999 },
    { name: 'b', payload: null, queue: null, priority: null, max_attempts: null },
    { name: 5, payload: false, priority: '7', max_attempts: '1', queue: 'default' },
    { name: { a: 1 }, payload: 'text' },
    { name: 'n'.repeat(255), payload: [], priority: 999_999_999 },
    { name: 'large', payload: 'x'.repeat(1500) },
  ];
  const elsewhere = plain.map((job) => ({ ...job, queue: 'q'.repeat(255) }));
  const others = [
    { name: 'z', timeout: '1 second' },
    { name: 'z', queue: 'other' },
    { name: 'z', payload: 'x'.repeat(1600) },
  ];
  const added = async (jobs: unknown[], count: number) => {
    await empty(db);
    const ids = (await addJobs(jobs)).map(({ id }) => id);
    const rows = await db.sql(`
      select r.id, to_jsonb(r) - '{id,slot,run_at,created_at}'::text[] as row, r.run_at = r.created_at as at_once
      from pgmill.ready r order by r.id`);
    t.same(
      rows.map(({ id }) => id),
      ids,
      'the answer tells their ids, in order',
    );
    return rows.slice(0, count).map(({ row, at_once }) => ({ row, at_once }));
  };
  for (const jobs of [plain, elsewhere]) {
    const expected = await added(jobs, jobs.length);
    t.equal(expected.length, jobs.length);
    for (const other of others) t.same(await added([...jobs, other], jobs.length), expected);
  }
});

t.test('an empty array adds nothing', async (t) => {
  const before = await contents(db);
  t.same(await addJobs([]), []);
  await unchanged(t, db, before, 'nothing');
});

t.test('10000 jobs are allowed, and all are added', async (t) => {
  const many = (count: number, key = false) =>
    Array.from({ length: count }, (_, n) => ({ name: 'n', ...(key && { unique_key: `${(n * 7919) % count}` }) }));
  t.equal((await addJobs(many(10_000))).length, 10_000);
  t.equal(await value(db, 'select count(distinct id)::int from pgmill.ready'), 10_000);
  const added = await addJobs(many(2_000, true));
  t.equal(new Set(added.map(({ id }) => id)).size, 2_000);
  t.equal(
    await value(db, 'select count(*)::int from pgmill.job_key k join pgmill.ready r using (id, queue, unique_key)'),
    2_000,
  );
  const before = await value(db, 'select count(*)::int from pgmill.ready');
  await t.rejects(addJobs(many(10_001)), { code: 'PM001', message: 'jobs holds 10001 jobs; the limit is 10000.' });
  t.equal(await value(db, 'select count(*)::int from pgmill.ready'), before);
});

t.test('all or nothing: one wrong object, named by its position, and none is added', async (t) => {
  await addJobs([{ name: 'before' }]);
  const before = await contents(db);
  const plain = [{ name: 'a' }, { name: 'b', priority: 1 }, { name: 'c', payload: {} }];
  const mixed = [{ name: 'a' }, { name: 'b', unique_key: 'b' }, { name: 'c', run_at: '2100-01-01T00:00:00Z' }];
  const wrong: [unknown, RegExp][] = [
    [{}, /^Job 4: name must not be null\.$/],
    [{ name: null }, /^Job 4: name must not be null\.$/],
    [{ name: '' }, /^Job 4: name must not be empty\.$/],
    [{ name: 'x', prioritty: 3 }, /^Job 4: the key prioritty is not known\.$/],
    [{ name: 'x', 'secret payload': 3 }, /^Job 4: a key is not known\.$/],
    [{ name: 'x', priority: 'secret' }, /^Job 4: a value is not of its parameter's type\.$/],
    [{ name: 'x', priority: 1.5 }, /^Job 4: a value is not of/],
    [{ name: 'x', priority: 2 ** 31 }, /^Job 4: a value is not of/],
    [{ name: 'x', run_at: 'secret' }, /^Job 4: a value is not of/],
    [{ name: 'x', run_at: '2100-01-01T00:00:00 Secret/Zone' }, /^Job 4: a value is not of/],
    [{ name: 'x', timeout: 'secret' }, /^Job 4: a value is not of/],
    [{ name: 'x', run_at: 'infinity' }, /^Job 4: run_at must be a finite time\.$/],
    [{ name: 'x', max_attempts: 0 }, /^Job 4: max_attempts is out of range\.$/],
    [{ name: 'x', on_duplicate: 'secret' }, /^Job 4: on_duplicate is not known\.$/],
    [{ name: 'x', payload: 'secret'.repeat(400_000) }, /^Job 4: payload takes 2400012 bytes; the limit is 1 MiB\.$/],
    ['secret', /^Job 4: it is not an object\.$/],
    [null, /^Job 4: it is not an object\.$/],
    [['secret'], /^Job 4: it is not an object\.$/],
  ];
  for (const [job, message] of wrong) {
    for (const good of [plain, mixed]) {
      await t.rejects(addJobs([...good, job, { name: '' }]), { code: 'PM001', message, hint: /\w/ });
    }
  }
  await unchanged(t, db, before, 'nothing was added');
});

t.test('no error tells what is in the jobs', async (t) => {
  const secret = 'the-secret';
  const jobs = [
    { name: secret.repeat(50) },
    { name: 'x', payload: secret.repeat(300_000) },
    { name: 'x', [`${secret}!`]: 1 },
    { name: 'x', priority: secret },
    { name: 'x', run_at: secret },
    { name: 'x', retry_max: secret },
    { name: 'x', queue: secret.repeat(50) },
    { name: 'x', unique_key: secret.repeat(50) },
    secret,
  ];
  for (const job of jobs) {
    const error = await addJobs([job]).catch((thrown: object) => thrown);
    const { code, message, detail, hint, where } = error as Record<string, unknown>;
    t.equal(code, 'PM001');
    t.notMatch(JSON.stringify({ message, detail, hint }), /secret/, 'message, detail and hint');
    t.notMatch(`${where}`, /secret/, 'the context');
  }
});

t.test('the same key several times in one call is one job', async (t) => {
  const added = await addJobs([
    { name: 'first', unique_key: 'k' },
    { name: 'second', unique_key: 'k' },
    { name: 'plain' },
    { name: 'elsewhere', unique_key: 'k', queue: 'other' },
    { name: 'third', unique_key: 'k', on_duplicate: 'replace', priority: 1 },
  ]);
  const [id] = added.map((row) => row.id);
  t.same(
    added.map((row) => [row.id === id, row.created]),
    [
      [true, true],
      [true, false],
      [false, true],
      [false, true],
      [true, false],
    ],
  );
  t.same(await db.sql('select name, queue, priority from pgmill.ready order by name'), [
    { name: 'elsewhere', queue: 'other', priority: 5 },
    { name: 'plain', queue: 'default', priority: 5 },
    { name: 'third', queue: 'default', priority: 1 },
  ]);
  t.equal((await db.sql('select * from pgmill.job_key')).length, 2);

  const before = await contents(db);
  await t.rejects(
    addJobs([{ name: 'a' }, { name: 'b', unique_key: 'new' }, { name: 'c', unique_key: 'new', on_duplicate: 'error' }]),
    {
      code: 'PM004',
    },
  );
  await unchanged(t, db, before, 'with error, nothing of the call is kept');
});

t.test('two calls with the same keys in opposite orders wait, and do not deadlock', async (t) => {
  const [holder, one, two] = [await db.client(), await db.client(), await db.client()];
  // `holder` has the key in the middle. Were keys taken in the order of the input, `one` would hold a and `two` would hold z.
  await holder.query(`begin; select pgmill.add_job('m', unique_key => 'm')`);
  const first = await whileBlocked<Added>(db, one, text, [keyed('a', 'm', 'z')]);
  const second = two.query<Added>(text, [keyed('z', 'm', 'a')]).then(({ rows }) => rows);
  second.catch(() => {});
  await blocked(db, two);
  await holder.query('rollback');
  const [a, b] = [await first.result, await second];
  t.same(
    a.map(({ created }) => created),
    [true, true, true],
  );
  t.same(b, a.map(({ id }) => ({ id, created: false })).reverse(), 'the second one gets the ids of the first');
  t.equal((await room(db, 'ready')).length, 3);
});

t.test('a call that replaces jobs locks them in the order in which others do', async (t) => {
  const [holder, adder, canceller] = [await db.client(), await db.client(), await db.client()];
  // In the order of their keys the later job comes first.
  const [c, a] = (await addJobs(['c', 'a'].map((key) => ({ name: 'x', unique_key: key })))) as [Added, Added];
  await holder.query(`begin; select pgmill.add_job('b', unique_key => 'b')`);
  const jobs = ['a', 'b', 'c'].map((key) => ({ name: 'new', unique_key: key, on_duplicate: 'replace' }));
  const replaced = await whileBlocked<Added>(db, adder, text, [JSON.stringify(jobs)]);
  const cancelled = await whileBlocked(db, canceller, `select pgmill.cancel_jobs(name => 'x')`);
  await holder.query('rollback');
  t.same(
    (await replaced.result).map(({ id, created }) => [id, created]).filter(([, created]) => !created),
    [
      [a.id, false],
      [c.id, false],
    ],
  );
  t.same(await cancelled.result, [{ cancel_jobs: '2' }], 'the other one waits, and then gets them too');
  t.same(await db.sql('select name, state from pgmill.job order by id'), [
    { name: 'new', state: 'cancelled' },
    { name: 'new', state: 'cancelled' },
    { name: 'new', state: 'ready' },
  ]);
});

t.test('a call rolled back frees its keys for the one that waits', async (t) => {
  const [one, two] = [await db.client(), await db.client()];
  await one.query('begin');
  await one.query(text, [keyed('a', 'b')]);
  const { result } = await whileBlocked<Added>(db, two, text, [keyed('b', 'c')]);
  await one.query('rollback');
  t.same(
    (await result).map(({ created }) => created),
    [true, true],
  );
  t.same(await db.sql('select name from pgmill.ready order by name'), [{ name: 'b' }, { name: 'c' }]);
});
