// What a worker says of the jobs it holds: complete_job(s), fail_job(s), extend_leases, release_jobs, snooze_job; and what they are
// made of: fail_leases, give_back, backoff, add_error.
import type pg from 'pg';
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, matches, room, unchanged } from './contents.js';
import { add, blocked, changed, claim, empty, type Lease, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const wrong = '00000000-0000-4000-8000-000000000000';
const ids = (leases: Lease[]) => leases.map(({ id }) => id);
const tokens = (leases: Lease[]) => leases.map(({ token }) => token);

/** Adds and claims so many jobs. */
async function runAll(count: number, args?: string): Promise<[Lease, ...Lease[]]> {
  for (let n = 0; n < count; n++) await add(db, args);
  return (await claim(db)) as [Lease, ...Lease[]];
}

/** Calls one of the functions that take arrays. */
const settle = (fn: string, leases: Lease[], more = '', on: { query: typeof db.pool.query } = db.pool) =>
  on.query(`select * from pgmill.${fn}($1, $2${more})`, [ids(leases), tokens(leases)]).then(({ rows }) => rows);

const fail = (lease: Lease, more = '') =>
  db.sql(`select * from pgmill.fail_job($1, $2, 'oops'${more})`, [lease.id, lease.token]);

/** Asks the running jobs to stop. */
const requestCancel = () => db.sql('update pgmill.running set cancel_requested = true');

/** Every way to settle one lease, and what it answers for one that is lost. */
const verbs: Record<string, (lease: Lease) => Promise<unknown>> = {
  complete_jobs: async (lease) => (await settle('complete_jobs', [lease]))[0].outcome,
  'complete_jobs, keep => false': async (lease) =>
    (await settle('complete_jobs', [lease], ', keep => false'))[0].outcome,
  fail_job: async (lease) => (await fail(lease))[0].state,
  'fail_job, final': async (lease) => (await fail(lease, ', final => true'))[0].state,
  fail_jobs: (lease) =>
    value(db, 'select state from pgmill.fail_jobs($1)', [JSON.stringify([{ ...lease, error: 'oops' }])]),
  extend_leases: async (lease) => (await settle('extend_leases', [lease]))[0].outcome,
  release_jobs: async (lease) => (await settle('release_jobs', [lease]))[0].outcome,
  snooze_job: (lease) =>
    value(db, `select state from pgmill.snooze_job($1, $2, '2100-01-01')`, [lease.id, lease.token]),
  complete_job: (lease) =>
    db.sql('select pgmill.complete_job($1, $2)', [lease.id, lease.token]).then(
      () => 'completed',
      (error: pg.DatabaseError) => (error.code === 'PM002' ? 'lease_lost' : error),
    ),
};

t.test('complete_job moves the job to finished with all it had', async (t) => {
  const args = `'work', '{"a": 1}', 'default', 3, max_attempts => 4, timeout => '7 seconds', retry_base => '1 second', unique_key => 'k'`;
  const { id } = await run(db, args);
  await db.sql(`select pgmill.fail_job(id, token, 'oops', '0') from pgmill.running`);
  const [lease] = await claim(db);
  const other = await run(db);
  const before = await rooms(db);
  const [was] = await room(db, 'running');
  const { lease_until: _, cancel_requested: __, ...same } = was as Record<string, unknown>;
  await db.sql(`select pgmill.complete_job($1, $2, '{"done": [1]}')`, [id, lease?.token]);
  const [is] = await room(db, 'finished');
  t.match(is, { ...same, attempts: 2, state: 'completed', result: { done: [1] }, worker: 'tester' });
  t.match(is, { errors: [{ message: 'oops' }] }, 'its errors too');
  t.equal(
    await value(db, `select clock_timestamp() - finished_at between '0' and '1 minute' from pgmill.finished`),
    true,
  );
  t.same(ids((await room(db, 'running')) as unknown as Lease[]), [Number(other.id)]);
  await changed(t, db, before, [id, null], 'this job and its key, nothing else');
  t.same(await room(db, 'job_key'), [], 'the key is free');
});

t.test('complete_jobs tells of each lease, in their order, and stores each result', async (t) => {
  const [a, b, c, d] = (await runAll(4)) as [Lease, Lease, Lease, Lease];
  const input = [d, { id: a.id, token: wrong }, b, { id: '999999', token: wrong }, c];
  const results = [{ d: 1 }, 'not stored', null, 1, [null]];
  const rows = await settle('complete_jobs', input, `, '${JSON.stringify(results)}'`);
  t.same(rows, [
    { id: d.id, outcome: 'completed' },
    { id: a.id, outcome: 'lease_lost' },
    { id: b.id, outcome: 'completed' },
    { id: '999999', outcome: 'lease_lost' },
    { id: c.id, outcome: 'completed' },
  ]);
  t.same(await db.sql('select id, result, result is null as none from pgmill.finished order by id'), [
    { id: b.id, result: null, none: true },
    { id: c.id, result: [null], none: false },
    { id: d.id, result: { d: 1 }, none: false },
  ]);
  t.same(
    (await room(db, 'running')).map(({ id }) => `${id}`),
    [a.id],
    'the stale lease disturbs nobody',
  );
  t.same(await settle('complete_jobs', []), []);
  t.same(await db.sql(`select * from pgmill.complete_jobs('{}', '{}', '[]')`), []);
});

t.test('a result may be false, zero or empty; null and a JSON null are none', async (t) => {
  for (const [given, kept] of [
    ['false', false],
    ['0', 0],
    ['""', ''],
    ['{}', {}],
    ['null', null],
  ] as const) {
    const { id, token } = await run(db);
    await db.sql('select pgmill.complete_job($1, $2, $3)', [id, token, given]);
    t.strictSame(await value(db, 'select result from pgmill.finished where id = $1', [id]), kept, given);
  }
  const [lease] = await runAll(1);
  await db.sql('select pgmill.complete_job($1, $2)', [lease.id, lease.token]);
  t.equal(await value(db, 'select count(*)::int from pgmill.finished where result is null'), 2);
});

t.test('keep => false forgets the jobs, and frees their keys', async (t) => {
  const [kept] = await runAll(1);
  const leases = await runAll(2);
  const keyed = await run(db, `'a', unique_key => 'k'`);
  const before = await rooms(db);
  await db.sql('select pgmill.complete_job($1, $2, keep => false)', [keyed.id, keyed.token]);
  t.same(
    (await settle('complete_jobs', leases, ', keep => false')).map(({ outcome }) => outcome),
    ['completed', 'completed'],
  );
  await changed(t, db, before, [...ids(leases), keyed.id, null], 'and no others');
  t.same(await room(db, 'job_key'), []);
  t.same(await room(db, 'finished'), []);
  t.same(
    (await room(db, 'running')).map(({ id }) => `${id}`),
    [kept.id],
  );
});

t.test('completing twice with the same lease is told apart from a lost lease', async (t) => {
  const [done, forgotten] = (await runAll(2)) as [Lease, Lease];
  await settle('complete_jobs', [done]);
  await settle('complete_jobs', [forgotten], ', keep => false');
  const before = await contents(db);
  t.same(await settle('complete_jobs', [forgotten, done, { ...done, token: wrong }]), [
    { id: forgotten.id, outcome: 'lease_lost' },
    { id: done.id, outcome: 'already_completed' },
    { id: done.id, outcome: 'lease_lost' },
  ]);
  const call = 'select pgmill.complete_job($1, $2)';
  await t.rejects(db.sql(call, [done.id, done.token]), { code: 'PM003', message: /is completed already/, hint: /\w/ });
  await t.rejects(db.sql(call, [done.id, wrong]), { code: 'PM002', message: /lease on job \d+ is lost/, hint: /\w/ });
  await t.rejects(db.sql(call, [forgotten.id, forgotten.token]), { code: 'PM002' });
  await unchanged(t, db, before, 'nothing changed');
});

t.test(
  'a job twice in one call, with its old lease and the current one: only the current one completes it',
  async (t) => {
    const [old] = await runAll(1);
    await settle('release_jobs', [old]);
    const [current] = (await claim(db)) as [Lease];
    for (const [first, second] of [
      [old, current],
      [current, old],
    ] as const) {
      const client = await db.client();
      await client.query('begin');
      const rows = await settle('complete_jobs', [first, second], '', client);
      t.same(
        rows.map(({ outcome }) => outcome),
        [first, second].map((lease) => (lease === current ? 'completed' : 'lease_lost')),
      );
      await client.query('rollback');
    }
  },
);

t.test('complete_job raises when the lease is lost, so that what was written beside it is rolled back', async (t) => {
  await db.sql('create table ledger (job bigint)');
  const [lease] = await runAll(1);
  await settle('release_jobs', [lease]);
  const [current] = (await claim(db)) as [Lease];
  const client = await db.client();
  const write = async ({ id, token }: Lease) => {
    await client.query('begin');
    await client.query('insert into ledger values ($1)', [id]);
    await client.query('select pgmill.complete_job($1, $2)', [id, token]);
  };
  await t.rejects(write(lease), { code: 'PM002' });
  t.equal((await client.query('commit')).command, 'ROLLBACK');
  t.same(await db.sql('select * from ledger'), []);
  await write(current);
  await client.query('rollback');
  t.same((await room(db, 'running')).length, 1, 'and the job is not completed when the rest rolls back');
  await write(current);
  await client.query('commit');
  t.same(await db.sql('select * from ledger'), [{ job: lease.id }]);
  await t.rejects(write(current), { code: 'PM003' }, 'a second time is refused');
  await client.query('rollback');
  t.equal((await db.sql('select * from ledger')).length, 1);
});

t.test('after a reclaim the old lease settles nothing, whoever holds the job now', async (t) => {
  const stale = await run(db, `'a', unique_key => 'k'`);
  await db.sql(`update pgmill.running set lease_until = clock_timestamp() - interval '1 second'`);
  t.equal(await value(db, 'select pgmill.reclaim()'), '1');
  const inEveryState: [string, () => Promise<unknown>][] = [
    ['scheduled', async () => {}],
    ['running for another', () => db.sql(`update pgmill.waiting set run_at = clock_timestamp()`).then(() => claim(db))],
    ['ready', () => db.sql('select pgmill.release_jobs(array[id], array[token]) from pgmill.running')],
    ['completed', async () => settle('complete_jobs', await claim(db))],
  ];
  for (const [state, bring] of inEveryState) {
    await bring();
    const before = await contents(db);
    for (const [name, verb] of Object.entries(verbs)) t.equal(await verb(stale), 'lease_lost', `${state}: ${name}`);
    await unchanged(t, db, before, `${state}: not one row has changed`);
  }
});

t.test('a token that was never given out, or is of another job, settles nothing', async (t) => {
  const [a, b] = (await runAll(2)) as [Lease, Lease];
  const before = await contents(db);
  for (const [name, verb] of Object.entries(verbs)) {
    t.equal(await verb({ id: a.id, token: wrong }), 'lease_lost', name);
    t.equal(await verb({ id: a.id, token: b.token }), 'lease_lost', name);
    t.equal(await verb({ id: '999999', token: a.token }), 'lease_lost', name);
    t.equal(await verb({ id: '-1', token: wrong }), 'lease_lost', name);
  }
  await unchanged(t, db, before, 'not one row has changed');
});

t.test('a lease that ran out, but that nobody reclaimed, may still settle', async (t) => {
  for (const [name, verb] of Object.entries(verbs)) {
    const lease = await run(db);
    await db.sql(`update pgmill.running set lease_until = '2000-01-01' where id = $1`, [lease.id]);
    t.match(await verb(lease), /^(completed|scheduled|failed|extended|released)$/, name);
    if (name === 'extend_leases') t.ok(await value(db, 'select lease_until > clock_timestamp() from pgmill.running'));
    await empty(db);
  }
});

t.test('two settle the same lease at once: one does, the other waits and is told', async (t) => {
  const [first, second] = [await db.client(), await db.client()];
  const cases: [string, string, 'commit' | 'rollback', unknown][] = [
    ['complete_jobs', 'complete_jobs', 'commit', 'already_completed'],
    ['complete_jobs', 'complete_jobs', 'rollback', 'completed'],
    ['complete_jobs', 'release_jobs', 'commit', 'lease_lost'],
    ['release_jobs', 'complete_jobs', 'commit', 'lease_lost'],
    ['release_jobs', 'extend_leases', 'commit', 'lease_lost'],
    ['release_jobs', 'extend_leases', 'rollback', 'extended'],
    ['extend_leases', 'complete_jobs', 'commit', 'completed'],
  ];
  for (const [one, two, end, outcome] of cases) {
    await empty(db);
    const [lease] = await runAll(1);
    await first.query('begin');
    await settle(one, [lease], '', first);
    const call = `select outcome from pgmill.${two}($1, $2)`;
    const { result } = await whileBlocked(db, second, call, [[lease.id], [lease.token]]);
    await first.query(end);
    t.same(await result, [{ outcome }], `${one}, ${two}, ${end}`);
  }
});

t.test('two calls with the same jobs in opposite orders wait, and do not deadlock', async (t) => {
  const [holder, one, two] = [await db.client(), await db.client(), await db.client()];
  for (const fn of ['complete_jobs', 'extend_leases', 'release_jobs']) {
    await empty(db);
    const leases = await runAll(3);
    await holder.query('begin');
    await holder.query('select from pgmill.running where id = $1 for update', [leases[1]?.id]);
    // Were the rows locked in the order of the input, `one` would hold the first and `two` the last.
    const first = await whileBlocked(db, one, `select * from pgmill.${fn}($1, $2)`, [ids(leases), tokens(leases)]);
    leases.reverse();
    const second = settle(fn, leases, '', two);
    second.catch(() => {});
    await blocked(db, two);
    await holder.query('commit');
    t.equal((await first.result).length, 3, fn);
    t.same(
      (await second).map(({ id }) => id),
      ids(leases),
      fn,
    );
  }
  await empty(db);
  const failures = (await runAll(3)).map((lease) => ({ ...lease, error: 'oops' }));
  await holder.query('begin');
  await holder.query('select from pgmill.running where id = $1 for update', [failures[1]?.id]);
  const call = 'select state from pgmill.fail_jobs($1)';
  const first = await whileBlocked(db, one, call, [JSON.stringify(failures)]);
  const second = two.query(call, [JSON.stringify(failures.reverse())]);
  await blocked(db, two);
  await holder.query('commit');
  t.same(await first.result, Array(3).fill({ state: 'scheduled' }), 'fail_jobs');
  t.same((await second).rows, Array(3).fill({ state: 'lease_lost' }));
});

t.test('with the defaults the first retry comes 115 to 125 seconds after the failure', async (t) => {
  const leases = await runAll(200, `'a', '{"b": 1}'`);
  const [was] = await room(db, 'running');
  const failures = leases.map((lease) => ({ ...lease, error: 'oops' }));
  await db.sql('select * from pgmill.fail_jobs($1)', [JSON.stringify(failures)]);
  const [spread] = await db.sql(`
    select min(after)::float, max(after)::float
    from (select extract(epoch from run_at - (errors -> 0 ->> 'at')::timestamptz) as after from pgmill.waiting) w`);
  t.ok(spread.min >= 115 && spread.max <= 125, `${spread.min} to ${spread.max}`);
  t.ok(spread.max - spread.min > 1, 'not all at the same time');
  const [is] = await room(db, 'waiting');
  const {
    worker: _,
    token: __,
    claimed_at: ___,
    lease_until: ____,
    cancel_requested: _____,
    run_at: ______,
    ...same
  } = was as Record<string, unknown>;
  t.match(is, { ...same, attempts: 1, errors: [{ attempt: 1, message: 'oops', reason: 'error', worker: 'tester' }] });
  t.same(await room(db, 'running'), []);
});

t.test('fail_job says when the job comes back, and other jobs stay', async (t) => {
  const lease = await run(db);
  await run(db);
  const before = await rooms(db);
  const [answer] = await fail(lease);
  t.equal(answer.state, 'scheduled');
  t.same(answer.run_at, await value(db, 'select run_at from pgmill.waiting'));
  await changed(t, db, before, [lease.id], 'only this job');
});

t.test('each retry comes after twice the time, up to retry_max; retry_in and final decide otherwise', async (t) => {
  const after = async (args: string, more = '') => {
    const { id } = await run(db, `'a', max_attempts => 1000, ${args}`);
    const waits: number[] = [];
    for (let n = 0; n < 3; n++) {
      const [lease] = (await db.sql('select id, token from pgmill.running where id = $1', [id])) as [Lease];
      await fail(lease, more);
      const text = `select extract(epoch from run_at - (errors -> -1 ->> 'at')::timestamptz)::float from pgmill.waiting`;
      waits.push(await value(db, text));
      await db.sql('update pgmill.waiting set run_at = clock_timestamp()');
      await claim(db);
    }
    await empty(db);
    return waits;
  };
  const near = (waits: number[], wanted: number[], what: string) => {
    for (const [n, want] of wanted.entries())
      t.ok(Math.abs((waits[n] as number) - want) <= want * 0.0401, `${what}: ${waits[n]}`);
  };
  near(await after(`retry_base => '10 seconds'`), [20, 40, 80], 'doubled');
  t.same(await after(`retry_base => '10 seconds', retry_max => '19 seconds'`), [19, 19, 19], 'never over retry_max');
  t.same(await after(`retry_base => '0'`), [0, 0, 0], 'a base of zero means at once');
  t.same(await after(`retry_base => '1 year', retry_max => '0'`), [0, 0, 0], 'and so does a maximum of zero');
  t.same(await after(`retry_base => '1 hour'`, `, retry_in => '90 seconds'`), [90, 90, 90], 'retry_in is exact');
  t.same(await after(`retry_base => '1 hour'`, `, retry_in => '0'`), [0, 0, 0], 'and may be zero');
});

t.test('backoff never fails, never exceeds the maximum, and scatters by 4 % at most', async (t) => {
  const bad = await db.sql(`
    select * from (
      select a, base, max, b, extract(epoch from b) as s, extract(epoch from base) * least(2::numeric ^ least(a, 80), 1e25) as plain
      from generate_series(0, 1000) a,
        unnest('{0,1 microsecond,1 second,1 minute,1 hour,1 day,1 month,1 year}'::interval[]) base,
        unnest('{0,1 microsecond,30 seconds,1 day,31 days,1 month,1 year,10 years}'::interval[]) max,
        pgmill.backoff(a, base, max) b
    ) x
    where b is null or s < 0
      or b > max or s > extract(epoch from max) or '2024-03-01Z'::timestamptz + b > '2024-03-01Z'::timestamptz + max
      or s > plain * 1.0400001 + 0.000001
      or s < least(plain * 0.9599999, extract(epoch from max)) - 0.000001
        and b <> max`);
  t.same(bad.slice(0, 3), []);
  t.equal(
    await value(db, `select extract(epoch from pgmill.backoff(1000, '1 year', '10 years')) >= 3600 * 86400`),
    true,
  );
  const spread = await value(
    db,
    `select max(b) - min(b) > '8 seconds' from generate_series(1, 500) n, pgmill.backoff(least(n, 1), '1 minute', '1 day') b`,
  );
  t.equal(spread, true, 'over nearly all of it');
});

t.test('the last attempt ends in failed, and so does a failure that is final', async (t) => {
  const lease = await run(db, `'a', max_attempts => 2, retry_base => '0', unique_key => 'k'`);
  matches(t, await fail(lease), [{ state: 'scheduled', run_at: Date }]);
  t.equal((await room(db, 'job_key')).length, 1, 'a job that waits for its retry keeps its key');
  const [second] = (await claim(db)) as [Lease];
  t.same(await fail(second), [{ state: 'failed', run_at: null }]);
  matches(t, await room(db, 'finished'), [
    { id: Number(lease.id), state: 'failed', attempts: 2, worker: 'tester', result: null, token: second.token },
  ]);
  t.same(await room(db, 'job_key'), [], 'a failed one does not');
  t.same(await claim(db), [], 'and it never comes back');

  const final = await run(db, `'b', max_attempts => 9`);
  const late = await run(db, `'c', max_attempts => 1`);
  const rows = await db.sql('select * from pgmill.fail_jobs($1)', [
    JSON.stringify([
      { ...late, error: 'too slow', reason: 'timeout' },
      { ...final, error: 'hopeless', final: true },
      { ...final, error: 'again' },
    ]),
  ]);
  t.same(rows, [
    { id: late.id, state: 'failed', run_at: null },
    { id: final.id, state: 'failed', run_at: null },
    { id: final.id, state: 'lease_lost', run_at: null },
  ]);
  const errors = await db.sql(`select errors -> 0 as error from pgmill.finished where name <> 'a' order by name`);
  matches(t, errors, [
    { error: { attempt: 1, reason: 'error', message: 'hopeless' } },
    { error: { attempt: 1, reason: 'timeout', message: 'too slow' } },
  ]);
});

t.test('fail_jobs takes what fail_job takes, for each job its own', async (t) => {
  const leases = (await runAll(4)) as Lease[];
  const [a, b, c, d] = leases as [Lease, Lease, Lease, Lease];
  const rows = await db.sql('select * from pgmill.fail_jobs($1)', [
    JSON.stringify([
      { ...c, error: 'c', retry_in: '3 hours', final: null, reason: null },
      { id: a.id, token: wrong, error: 'a' },
      { id: Number(b.id), token: b.token, error: 'b', retry_in: null, final: true, reason: 'timeout' },
      { ...d, error: 'd' },
    ]),
  ]);
  matches(t, rows, [
    { id: c.id, state: 'scheduled', run_at: Date },
    { id: a.id, state: 'lease_lost', run_at: null },
    { id: b.id, state: 'failed', run_at: null },
    { id: d.id, state: 'scheduled', run_at: Date },
  ]);
  t.ok(
    await value(
      db,
      `select run_at = (errors -> 0 ->> 'at')::timestamptz + interval '3 hours' from pgmill.waiting where id = $1`,
      [c.id],
    ),
  );
  t.same(
    (await room(db, 'running')).map(({ id }) => `${id}`),
    [a.id],
  );
  t.same(await db.sql(`select * from pgmill.fail_jobs('[]')`), []);
});

t.test('the last 10 errors are kept, each cut to 2 kB without cutting a character', async (t) => {
  await add(db, `'a', max_attempts => 12, retry_base => '0'`);
  const messages = [
    'x'.repeat(5000),
    'ü'.repeat(3000),
    '𝄞'.repeat(3000),
    `${'x'.repeat(2000)}${'€'.repeat(2000)}`,
    '€'.repeat(682),
    '',
  ];
  for (let n = 1; n <= 12; n++) {
    const [lease] = (await claim(db)) as [Lease];
    await db.sql('select pgmill.fail_job($1, $2, $3, reason => $4)', [
      lease.id,
      lease.token,
      messages[n - 3] ?? `oops ${n}`,
      n % 2 ? 'error' : 'timeout',
    ]);
  }
  const [job] = await db.sql('select attempts, state, errors from pgmill.finished');
  t.match(job, { attempts: 12, state: 'failed' });
  t.same(
    job.errors.map((error: { attempt: number }) => error.attempt),
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  );
  for (const [n, error] of job.errors.entries()) {
    t.same(Object.keys(error).sort(), ['at', 'attempt', 'message', 'reason', 'worker']);
    t.equal(error.worker, 'tester');
    t.equal(error.reason, n % 2 ? 'timeout' : 'error');
    const given = messages[n] ?? `oops ${n + 3}`;
    t.ok(
      given.startsWith(error.message) && Buffer.byteLength(error.message) <= 2048,
      `${Buffer.byteLength(error.message)} bytes`,
    );
    if (Buffer.byteLength(given) <= 512) t.equal(error.message, given);
  }
  t.equal(job.errors[0].message.length, 2048, 'plain text uses all of it');
});

t.test('extend_leases keeps the leases, from now on', async (t) => {
  const [a, b, other] = (await runAll(3)) as [Lease, Lease, Lease];
  const before = await rooms(db);
  const [was] = await room(db, 'running');
  t.same(await settle('extend_leases', [b, { id: other.id, token: wrong }, a], `, '10 minutes'`), [
    { id: b.id, outcome: 'extended' },
    { id: other.id, outcome: 'lease_lost' },
    { id: a.id, outcome: 'extended' },
  ]);
  matches(t, await room(db, 'running'), [{ ...was, lease_until: String }, {}, {}], 'nothing else of the row changes');
  const left = `lease_until - clock_timestamp() between '9 minutes 30 seconds' and '10 minutes'`;
  t.same(await db.sql(`select id from pgmill.running where ${left} order by id`), [{ id: a.id }, { id: b.id }]);
  await changed(t, db, before, [a.id, b.id], 'the other one keeps its lease as it is');
  await settle('extend_leases', [a], `, '1 millisecond'`);
  t.equal(await value(db, 'select pgmill.reclaim() from pg_sleep(0.002)'), '1', 'it can be made shorter, too');
  t.same(await settle('extend_leases', []), []);
});

t.test('release_jobs hands jobs back to their place in the order, and charges nothing', async (t) => {
  const [a, b, c] = (await runAll(3, `'a', max_attempts => 2, unique_key => null`)) as [Lease, Lease, Lease];
  const was = await room(db, 'running');
  t.same(await settle('release_jobs', [c, { id: b.id, token: wrong }, a]), [
    { id: c.id, outcome: 'released' },
    { id: b.id, outcome: 'lease_lost' },
    { id: a.id, outcome: 'released' },
  ]);
  const ready = await room(db, 'ready');
  for (const [n, row] of ready.entries()) {
    const { slot, ...rest } = row;
    t.match({ ...was[n * 2], attempts: 0 }, rest, 'as it was before the claim');
  }
  t.same(
    (await room(db, 'running')).map(({ id }) => `${id}`),
    [b.id],
  );
  const again = await claim(db);
  t.same(ids(again), [a.id, c.id]);
  t.not(again[0]?.token, a.token);
  await settle('release_jobs', again);
  t.same(
    (await room(db, 'ready')).map(({ attempts }) => attempts),
    [0, 0],
    'however often',
  );
});

t.test('snooze_job puts a job off, and charges nothing', async (t) => {
  const lease = await run(db, `'a', unique_key => 'k'`);
  await run(db);
  const before = await rooms(db);
  const call = 'select * from pgmill.snooze_job($1, $2, $3)';
  const at = '2100-01-01T00:00:00.123Z';
  t.same(await db.sql(call, [lease.id, lease.token, at]), [{ state: 'scheduled', run_at: new Date(at) }]);
  matches(t, await room(db, 'waiting'), [{ id: Number(lease.id), attempts: 0, errors: null }]);
  t.same(await value(db, 'select run_at from pgmill.waiting'), new Date(at));
  await changed(t, db, before, [lease.id], 'only this job; the key stays its own');
  t.same(
    await db.sql(call, [lease.id, lease.token, at]),
    [{ state: 'lease_lost', run_at: null }],
    'the lease is given up',
  );

  await db.sql('update pgmill.waiting set run_at = clock_timestamp()');
  const [again] = (await claim(db)) as [Lease];
  const [from] = await db.sql('select clock_timestamp() as at');
  const [answer] = await db.sql(call, [again.id, again.token, '2000-01-01']);
  t.equal(answer.state, 'ready', 'a past time means now');
  t.ok(answer.run_at >= from.at, 'so that the job does not go before others that wait');
  t.same(await db.sql('select id, attempts, run_at from pgmill.ready'), [
    { id: lease.id, attempts: 0, run_at: answer.run_at },
  ]);
});

t.test('a job that was asked to stop: every ending but completion is cancelled', async (t) => {
  const endings: Record<string, [call: (lease: Lease) => Promise<unknown>, state: string, errors: number]> = {
    fail_job: [verbs['fail_job'] as never, 'cancelled', 1],
    'fail_job, final': [verbs['fail_job, final'] as never, 'cancelled', 1],
    fail_jobs: [verbs['fail_jobs'] as never, 'cancelled', 1],
    release_jobs: [verbs['release_jobs'] as never, 'cancelled', 0],
    snooze_job: [verbs['snooze_job'] as never, 'cancelled', 0],
    complete_jobs: [verbs['complete_jobs'] as never, 'completed', 0],
    complete_job: [verbs['complete_job'] as never, 'completed', 0],
  };
  for (const [name, [call, state, errors]] of Object.entries(endings)) {
    const lease = await run(db, `'a', unique_key => 'k'`);
    await requestCancel();
    const other = await run(db, `'a', unique_key => 'l'`);
    t.same(await settle('extend_leases', [other, lease]), [
      { id: other.id, outcome: 'extended' },
      { id: lease.id, outcome: 'cancel_requested' },
    ]);
    t.equal(await call(lease), state, name);
    matches(t, await room(db, 'finished'), [
      { id: Number(lease.id), state, attempts: 1, worker: 'tester', token: lease.token },
    ]);
    t.equal(await value(db, `select jsonb_array_length(coalesce(errors, '[]')) from pgmill.finished`), errors);
    t.same(await db.sql('select unique_key from pgmill.job_key'), [{ unique_key: 'l' }], 'its key is free');
    t.same(
      (await room(db, 'running')).map(({ id }) => `${id}`),
      [other.id],
      'the other job runs on',
    );
    await empty(db);
  }
  const lease = await run(db);
  await requestCancel();
  t.same(await fail(lease), [{ state: 'cancelled', run_at: null }]);
  const snoozed = await run(db);
  await requestCancel();
  t.same(await db.sql(`select * from pgmill.snooze_job($1, $2, '2100-01-01')`, [snoozed.id, snoozed.token]), [
    { state: 'cancelled', run_at: null },
  ]);
});
