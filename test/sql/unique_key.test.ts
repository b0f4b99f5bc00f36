// unique_key: at most one live job of a queue holds it (hold_key, job_key).
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, matches, room, unchanged, until } from './contents.js';
import { add, changed, claim, empty, type Lease, rooms, run, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

/** Adds a job with the key k. */
const addK = (args = '') => add(db, `'work', unique_key => 'k'${args}`);
const keys = () => db.sql('select queue, unique_key, id from pgmill.job_key order by 1, 2');
const lease = async ({ id }: { id: string }) => (await claim(db)).find((each) => each.id === id) as Lease;

t.test('50 connections add with one key at the same time: one job, and all get its id', async (t) => {
  for (const how of ['skip', 'replace']) {
    await empty(db);
    const clients = await Promise.all(Array.from({ length: 50 }, () => db.client()));
    // All have begun, and wait for the one that was first.
    const [first, ...others] = clients as [(typeof clients)[number], ...typeof clients];
    const call = `select pgmill.add_job('work', unique_key => 'k', on_duplicate => '${how}') as id`;
    await first.query('begin');
    const id = (await first.query(call)).rows[0].id;
    const waiting = others.map((client) => client.query(call).then(({ rows }) => rows[0].id));
    const blocked = `select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await until(async () => (await value(db, blocked)) === others.length, 'all wait');
    await first.query('commit');
    t.same(new Set(await Promise.all(waiting)), new Set([id]), how);
    matches(t, await room(db, 'ready'), [{ id: Number(id), unique_key: 'k' }]);
    t.same(await keys(), [{ queue: 'default', unique_key: 'k', id }]);
    await Promise.all(clients.map((client) => client.end()));
  }
});

t.test('50 connections add without waiting for each other to begin: one job again', async (t) => {
  const clients = await Promise.all(Array.from({ length: 50 }, () => db.client()));
  for (let round = 0; round < 5; round++) {
    await empty(db);
    const added = await Promise.all(
      clients.map((client, n) => {
        const how = round === 0 ? 'skip' : ['skip', 'replace'][n % 2];
        return client.query(`select pgmill.add_job('work', unique_key => 'k', on_duplicate => $1) as id`, [how]);
      }),
    );
    t.equal(new Set(added.map(({ rows }) => rows[0].id)).size, 1);
    t.equal((await room(db, 'ready')).length, 1);
  }
});

t.test('the key is free again when the job has ended, in whatever way, and not before', async (t) => {
  const other = await add(db, `'other', unique_key => 'other', run_at => '2100-01-01'`);
  const free = [{ queue: 'default', unique_key: 'other', id: other }];
  const { id: first, token } = await run(db, `'work', unique_key => 'k'`);
  t.equal(await addK(), first, 'running');
  await db.sql(`select pgmill.fail_job($1, $2, 'x', '0')`, [first, token]);
  t.equal(await addK(), first, 'waiting for its retry');
  const again = await lease({ id: first });
  await db.sql('select pgmill.release_jobs(array[$1::bigint], array[$2::uuid])', [again.id, again.token]);
  t.equal(await addK(), first, 'released');
  const third = await lease({ id: first });
  await db.sql(`select pgmill.snooze_job($1, $2, '2100-01-01')`, [third.id, third.token]);
  t.equal(await addK(), first, 'snoozed');
  await db.sql('update pgmill.waiting set run_at = clock_timestamp() where id = $1', [first]);

  const endings: [string, string, (job: Lease) => Promise<unknown>][] = [
    ['completed', 'completed', ({ id, token }) => db.sql('select pgmill.complete_job($1, $2)', [id, token])],
    ['forgotten', '', ({ id, token }) => db.sql('select pgmill.complete_job($1, $2, keep => false)', [id, token])],
    ['failed', 'failed', ({ id, token }) => db.sql(`select pgmill.fail_job($1, $2, 'x', final => true)`, [id, token])],
    [
      'reclaimed for the last time',
      'failed',
      async () => {
        await db.sql(`update pgmill.running set lease_until = '2000-01-01', attempts = max_attempts`);
        await db.sql('select pgmill.reclaim()');
      },
    ],
    [
      'cancelled while running',
      'cancelled',
      async ({ id, token }) => {
        await db.sql('select pgmill.cancel_job($1)', [id]);
        await db.sql(`select pgmill.release_jobs(array[$1::bigint], array[$2::uuid])`, [id, token]);
      },
    ],
  ];
  let live = first;
  for (const [how, state, end] of endings) {
    await end(await lease({ id: live }));
    t.equal((await db.sql('select state from pgmill.job where id = $1', [live]))[0]?.state ?? '', state, how);
    t.same(await keys(), free, `${how}: the key is free`);
    const next = await addK();
    t.not(next, live, `${how}: a new job`);
    live = next;
  }
  await db.sql('select pgmill.cancel_job($1)', [live]);
  t.same(await keys(), free, 'cancelled while ready');
  live = await addK(`, run_at => '2100-01-01'`);
  await db.sql('select pgmill.cancel_job($1)', [live]);
  t.same(await keys(), free, 'cancelled while scheduled');
});

t.test('the same key in another queue is another key', async (t) => {
  const [here, there] = [await addK(), await addK(`, queue => 'other'`)];
  t.not(here, there);
  t.equal(await addK(`, queue => 'other'`), there);
  const [job] = (await claim(db, 'other')) as [Lease];
  await db.sql('select pgmill.complete_job($1, $2)', [job.id, job.token]);
  t.same(await keys(), [{ queue: 'default', unique_key: 'k', id: here }], 'and freeing one leaves the other alone');
});

t.test('keys are compared exactly, and jobs without one are as many as you like', async (t) => {
  const ids = new Set<string>();
  for (const key of ['k', 'K', 'k ', ' k', 'ḱ', 'k\u0301'])
    ids.add(await value(db, `select pgmill.add_job('work', unique_key => $1)`, [key]));
  t.equal(ids.size, 6, 'even two that look alike');
  t.not(await add(db), await add(db));
});

t.test('skip leaves the live job alone', async (t) => {
  await addK(`, run_at => '2100-01-01'`);
  const before = await contents(db);
  await db.sql(`select pgmill.add_job('new', '{"new": 1}', priority => 1, unique_key => 'k')`);
  await db.sql(`select pgmill.add_jobs('[{"name": "new", "unique_key": "k"}]')`);
  await unchanged(t, db, before, 'not one row has changed');
});

t.test('error refuses, and nothing of the call is kept', async (t) => {
  const id = await addK();
  await db.sql(`select pgmill.add_job('work', unique_key => 'free', on_duplicate => 'error')`);
  const before = await contents(db);
  const error = { code: 'PM004', message: `A live job (${id}) holds this unique_key.`, hint: /\w/ };
  await t.rejects(addK(`, on_duplicate => 'error'`), error);
  const jobs = JSON.stringify([{ name: 'a' }, { name: 'b', unique_key: 'k', on_duplicate: 'error' }]);
  await t.rejects(db.sql('select pgmill.add_jobs($1)', [jobs]), error);
  await unchanged(t, db, before, 'not one row has changed');
});

t.test('replace rewrites a job that waits, with fresh attempts, under its id', async (t) => {
  const replace = `select pgmill.add_job('new', '{"new": 1}', priority => 1, max_attempts => 2, timeout => '5 seconds',
    unique_key => 'k', on_duplicate => 'replace'`;
  const states: [string, () => Promise<string>][] = [
    ['scheduled', () => addK(`, run_at => '2100-01-01'`)],
    ['ready', () => addK()],
    [
      'waiting for its retry',
      async () => {
        const job = await run(db, `'work', unique_key => 'k'`);
        await db.sql(`select pgmill.fail_job($1, $2, 'x')`, [job.id, job.token]);
        return job.id;
      },
    ],
  ];
  for (const [state, make] of states) {
    for (const [runAt, moved] of [
      ['', 'ready'],
      [`, run_at => '2100-02-02Z'`, 'waiting'],
    ] as const) {
      await empty(db);
      await add(db, `'other', unique_key => 'other'`);
      const id = await make();
      const before = await rooms(db);
      t.equal(await value(db, `${replace}${runAt})`), id, state);
      t.equal(await value(db, 'select count(*)::int from pgmill.job'), 2, 'no second one');
      const row = (await room(db, moved)).find((each) => `${each['id']}` === id);
      t.match(row, {
        name: 'new',
        payload: { new: 1 },
        priority: 1,
        attempts: 0,
        max_attempts: 2,
        timeout: '00:00:05',
        unique_key: 'k',
        errors: null,
      });
      t.equal(
        await value(db, `select created_at > clock_timestamp() - interval '1 minute' from pgmill.job where id = $1`, [
          id,
        ]),
        true,
      );
      await changed(t, db, before, [id], 'the other one stays, and the keys do');
    }
  }
});

t.test('replace leaves a running job alone', async (t) => {
  const { id } = await run(db, `'work', unique_key => 'k'`);
  const before = await contents(db);
  t.equal(await addK(`, on_duplicate => 'replace'`), id);
  t.same(
    await db.sql(`select * from pgmill.add_jobs('[{"name": "n", "unique_key": "k", "on_duplicate": "replace"}]')`),
    [{ id, created: false }],
  );
  await unchanged(t, db, before, 'not one row has changed');
});

t.test('an add waits for a completion that is not committed, and then makes a new job', async (t) => {
  const [worker, adder] = [await db.client(), await db.client()];
  for (const how of ['skip', 'replace', 'error']) {
    for (const end of ['commit', 'rollback']) {
      await empty(db);
      const { id, token } = await run(db, `'work', unique_key => 'k'`);
      await worker.query('begin');
      await worker.query('select pgmill.complete_job($1, $2)', [id, token]);
      const call = `select pgmill.add_job('new', unique_key => 'k', on_duplicate => '${how}') as id`;
      const { result } = await whileBlocked(db, adder, call);
      await worker.query(end);
      if (end === 'rollback' && how === 'error') {
        await t.rejects(result, { code: 'PM004' });
        continue;
      }
      const [added] = await result;
      if (end === 'rollback') {
        t.same(added, { id }, `${how}: it is still running`);
        matches(t, await room(db, 'running'), [{ name: 'work' }]);
      } else {
        t.not(added?.['id'], id, how);
        matches(t, await room(db, 'ready'), [{ name: 'new' }]);
        t.same(await keys(), [{ queue: 'default', unique_key: 'k', id: added?.['id'] }]);
      }
    }
  }
});

t.test(
  'replace against a claim that is not committed: the job runs as it was, or is rewritten, never both',
  async (t) => {
    const [worker, adder] = [await db.client(), await db.client()];
    const call = `select pgmill.add_job('new', unique_key => 'k', on_duplicate => 'replace') as id`;
    for (const end of ['commit', 'rollback']) {
      await empty(db);
      const id = await addK();
      await worker.query('begin');
      t.equal((await claim(worker)).length, 1);
      const { result } = await whileBlocked(db, adder, call);
      await worker.query(end);
      t.same(await result, [{ id }]);
      t.same(
        await db.sql('select name, state from pgmill.job'),
        end === 'commit' ? [{ name: 'work', state: 'running' }] : [{ name: 'new', state: 'ready' }],
        end,
      );
    }
    await empty(db);
    const id = await addK();
    await adder.query('begin');
    await adder.query(call);
    t.same(await claim(db), [], 'the other way round the claim passes over it');
    await adder.query('commit');
    t.same(await db.sql(`select id, name from pgmill.get_jobs('w', 5)`), [{ id, name: 'new' }], 'and gets the new one');
  },
);

t.test('replace against a job that is just let in: it is found in its next room', async (t) => {
  const [worker, adder] = [await db.client(), await db.client()];
  const id = await addK(`, run_at => '2100-01-01'`);
  await db.sql('update pgmill.waiting set run_at = clock_timestamp()');
  await worker.query(`begin; select * from pgmill.get_jobs('w', 1, names => '{}')`);
  const { result } = await whileBlocked(
    db,
    adder,
    `select pgmill.add_job('new', unique_key => 'k', on_duplicate => 'replace') as id`,
  );
  await worker.query('commit');
  t.same(await result, [{ id }]);
  t.same(await db.sql('select id, name, state from pgmill.job'), [{ id, name: 'new', state: 'ready' }]);
});

t.test('a job that ends between two looks at its key does not leave the adder without one', async (t) => {
  // Statement triggers make the adder stop where the race is: it has seen the key taken, and not yet looked by whom.
  await db.sql(`
    create function stop_here() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(42); return null; end $$;
    create trigger stop_here after insert on pgmill.job_key for each statement execute function stop_here()`);
  const [gate, adder] = [await db.client(), await db.client()];
  for (const how of ['skip', 'replace', 'error']) {
    await empty(db);
    const { id, token } = await run(db, `'work', unique_key => 'k'`);
    await gate.query('select pg_advisory_lock(42)');
    const call = `select pgmill.add_job('new', unique_key => 'k', on_duplicate => '${how}') as id`;
    const { result } = await whileBlocked(db, adder, call);
    await db.sql('select pgmill.complete_job($1, $2)', [id, token]);
    await gate.query('select pg_advisory_unlock(42)');
    const [added] = await result;
    t.not(added?.['id'], id, how);
    matches(t, await db.sql('select id, name, unique_key from pgmill.ready'), [
      { id: added?.['id'], name: 'new', unique_key: 'k' },
    ]);
    t.same(await keys(), [{ queue: 'default', unique_key: 'k', id: added?.['id'] }]);
  }
  await db.sql('drop trigger stop_here on pgmill.job_key');
});

t.test('two replace at the same time: the later one stands, under the same id', async (t) => {
  const [one, two] = [await db.client(), await db.client()];
  const id = await addK();
  const call = (name: string) => `select pgmill.add_job('${name}', unique_key => 'k', on_duplicate => 'replace') as id`;
  await one.query(`begin; ${call('one')}`);
  const { result } = await whileBlocked(db, two, call('two'));
  await one.query('commit');
  t.same(await result, [{ id }]);
  t.same(await db.sql('select id, name, state from pgmill.job'), [{ id, name: 'two', state: 'ready' }]);
});

t.test('adds and endings of one key, all at once: never two live jobs, and nothing is stuck', async (t) => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => db.client()));
  const seen = new Set<string>();
  let done = 0;
  await Promise.all(
    clients.map(async (client, n) => {
      for (let turn = 0; turn < 60; turn++) {
        if (n % 2 === 0) {
          const how = ['skip', 'replace'][turn % 2];
          seen.add(await value(client, `select pgmill.add_job('work', unique_key => 'k', on_duplicate => $1)`, [how]));
        } else {
          const { rows } = await client.query(`select id, token from pgmill.get_jobs('w', 5)`);
          t.ok(rows.length <= 1, 'never two');
          for (const { id, token } of rows) {
            const end = ['complete_job($1, $2)', `fail_job($1, $2, 'x', '0')`, `fail_job($1, $2, 'x', final => true)`][
              turn % 3
            ];
            await client.query(`select pgmill.${end}`, [id, token]);
            done++;
          }
        }
      }
    }),
  );
  const live = await db.sql(`select id from pgmill.job where state in ('scheduled', 'ready', 'running')`);
  t.ok(done > 0 && live.length <= 1);
  t.same(
    (await keys()).map(({ id }) => id),
    live.map(({ id }) => id),
    'the key is held by the live job, if there is one',
  );
  t.same(
    new Set((await db.sql('select id from pgmill.job')).map(({ id }) => id)),
    seen,
    'each job that was added is there once',
  );
});
