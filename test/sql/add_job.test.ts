// add_job, and the helpers that only it and add_jobs have: check_job, insert_job.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents, room, unchanged } from './contents.js';
import { add, claim, empty, rooms, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

t.test('a job with nothing but a name has the defaults, and is ready at once', async (t) => {
  const other = await add(db, `'other'`);
  const before = await rooms(db);
  const [from] = await db.sql('select clock_timestamp() as at');
  const id = await add(db, `'work'`);
  const [to] = await db.sql('select clock_timestamp() as at');
  const [job] = await db.sql(
    'select *, timeout::text, retry_base::text, retry_max::text from pgmill.job where id = $1',
    [id],
  );
  const { run_at, created_at, ...rest } = job;
  t.strictSame(rest, {
    id,
    state: 'ready',
    queue: 'default',
    name: 'work',
    payload: {},
    priority: 5,
    attempts: 0,
    max_attempts: 3,
    timeout: null,
    retry_base: '00:01:00',
    retry_max: '1 day',
    unique_key: null,
    errors: [],
    cron: null,
    cron_tick: null,
    worker: null,
    claimed_at: null,
    lease_until: null,
    cancel_requested: false,
    finished_at: null,
    result: null,
  });
  t.ok(from.at <= created_at && created_at <= to.at, "created_at is the database's clock");
  t.same(run_at, created_at, 'and so is run_at');
  t.equal((await rooms(db)).get(other), before.get(other), 'the other job is as it was');
  t.equal((await rooms(db)).size, before.size + 1);
});

t.test('keeps every argument it was given', async (t) => {
  const id = await add(
    db,
    `name => 'Größe', payload => '{"a": [1, null, "ü"]}', queue => 'mail', priority => -2147483648, run_at => '2100-01-02 03:04:05.678901Z',
     max_attempts => 1000, timeout => '1 year', retry_base => '0', retry_max => '10 years', unique_key => 'k', on_duplicate => 'error'`,
  );
  const [job] = await room(db, 'waiting');
  t.match(job, {
    id: Number(id),
    name: 'Größe',
    payload: { a: [1, null, 'ü'] },
    queue: 'mail',
    priority: -2147483648,
    attempts: 0,
    max_attempts: 1000,
    timeout: '1 year',
    retry_base: '00:00:00',
    retry_max: '10 years',
    unique_key: 'k',
    errors: null,
    cron: null,
  });
  t.equal(
    await value(db, `select run_at = '2100-01-02 03:04:05.678901Z' from pgmill.waiting`),
    true,
    'to the microsecond',
  );
  t.same(await room(db, 'ready'), []);
  t.same(await db.sql('select queue, unique_key, id from pgmill.job_key'), [{ queue: 'mail', unique_key: 'k', id }]);
});

t.test('the limits themselves are allowed: 255 characters of any size, 1 MiB of payload', async (t) => {
  const id = await value(
    db,
    `select pgmill.add_job(repeat('ü', 255), queue => repeat('€', 255), unique_key => repeat('𝄞', 255),
       timeout => '1 millisecond', retry_base => '1 year', retry_max => '0', max_attempts => 1)`,
  );
  t.equal(
    await value(db, 'select length(name) + length(queue) + length(unique_key) from pgmill.job where id = $1', [id]),
    765,
  );
  // 12 bytes around the text
  await db.sql(`select pgmill.add_job('big', to_jsonb(repeat('x', 1048576 - 12)))`);
  await t.rejects(db.sql(`select pgmill.add_job('big', to_jsonb(repeat('x', 1048577 - 12)))`), {
    code: 'PM001',
    message: 'payload takes 1048577 bytes; the limit is 1 MiB.',
  });
  t.equal((await room(db, 'ready')).length, 2);
});

t.test('a payload is measured whole, even when it comes compressed from a table', async (t) => {
  await db.sql(`create table document as select to_jsonb(repeat('x', 3000000)) as body`);
  t.ok((await value(db, 'select pg_column_size(body) from document')) < 1048576, 'in the table it is small');
  const before = await contents(db);
  for (const call of [
    `select pgmill.add_job('big', d.body) from document d`,
    `select pgmill.add_job('big', d.body, unique_key => 'k') from document d`,
    `select * from document d, pgmill.add_jobs(jsonb_build_array(jsonb_build_object('name', 'big', 'payload', d.body)))`,
  ]) {
    await t.rejects(
      db.sql(call),
      { code: 'PM001', message: /payload takes 30000\d\d bytes; the limit is 1 MiB.$/ },
      call,
    );
  }
  await unchanged(t, db, before, 'and nothing was added');
});

t.test('a run_at in the past counts as now, one in the future waits', async (t) => {
  const [past, soon] = [
    await add(db, `'a', run_at => '2000-01-01'`),
    await add(db, `'a', run_at => clock_timestamp() + interval '1 hour'`),
  ];
  const jobs = await db.sql(
    'select id, state, run_at = created_at as now, run_at > created_at as later from pgmill.job order by id',
  );
  t.same(jobs, [
    { id: past, state: 'ready', now: true, later: false },
    { id: soon, state: 'scheduled', now: false, later: true },
  ]);
});

t.test('time stands still in a transaction, but not for its jobs', async (t) => {
  const client = await db.client();
  await client.query('begin');
  const first = await value(client, `select pgmill.add_job('a')`);
  await client.query('select pg_sleep(0.002)');
  const second = await value(client, `select pgmill.add_job('b')`);
  await client.query('commit');
  t.ok(
    await value(db, 'select b.run_at > a.run_at from pgmill.job a, pgmill.job b where a.id = $1 and b.id = $2', [
      first,
      second,
    ]),
  );
});

t.test("commits with the caller's transaction, and is gone with it", async (t) => {
  await db.sql('create table business (what text)');
  const client = await db.client();
  const before = await contents(db);
  await client.query(`begin; insert into business values ('lost')`);
  for (const args of [`'a'`, `'b', run_at => '2100-01-01'`, `'c', unique_key => 'k'`])
    await client.query(`select pgmill.add_job(${args})`);
  await client.query(`select * from pgmill.add_jobs('[{"name": "d"}, {"name": "e", "unique_key": "l"}]')`);
  await unchanged(t, db, before, 'nobody sees the jobs yet');
  t.same(await claim(db), [], 'nor can claim them');
  await client.query('rollback');
  await unchanged(t, db, before, 'and then they are gone');

  await client.query(`begin; insert into business values ('kept'); select pgmill.add_job('outer'); savepoint s`);
  await client.query(`select pgmill.add_job('inner', unique_key => 'k')`);
  await client.query('rollback to s; commit');
  t.same(await db.sql('select name, state from pgmill.job'), [{ name: 'outer', state: 'ready' }]);
  t.same(await db.sql('select what from business'), [{ what: 'kept' }]);
  t.same(await db.sql('select * from pgmill.job_key'), [], 'the key of the inner one is free');
});

t.test('can be called in a trigger', async (t) => {
  await db.sql(`
    create table account (email text);
    create function welcome() returns trigger language plpgsql as $$
    begin perform pgmill.add_job('welcome', jsonb_build_object('email', new.email)); return new; end $$;
    create trigger welcome after insert on account for each row execute function welcome();
    insert into account values ('a@example.com'), ('b@example.com')`);
  t.same(await db.sql(`select payload from pgmill.ready where name = 'welcome' order by id`), [
    { payload: { email: 'a@example.com' } },
    { payload: { email: 'b@example.com' } },
  ]);
});

t.test('adders with different keys do not wait for each other', async (t) => {
  const [first, second] = [await db.client(), await db.client()];
  await first.query(`begin; select pgmill.add_job('a', unique_key => 'a'); select pgmill.add_job('b')`);
  await second.query(
    `set lock_timeout = '5s'; begin; select pgmill.add_job('a', unique_key => 'b'); select pgmill.add_job('b')`,
  );
  await second.query(`select pgmill.add_job('a', unique_key => 'a', queue => 'other'); commit`);
  t.equal((await room(db, 'ready')).length, 3);
  // and that this can be seen to wait:
  const { result } = await whileBlocked(db, second, `select pgmill.add_job('a', unique_key => 'a')`);
  await first.query('commit');
  await result;
  t.equal((await room(db, 'ready')).length, 5);
});
