// What surrounds pgmill in somebody's database: roles, other search paths and settings, a plain owner, publications.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import t, { type Test } from 'tap';
import { install, testDatabase } from '../postgres/database.js';
import { contents, unchanged } from './contents.js';
import { empty, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

type On = { query: pg.Client['query'] };

/** A connection of its own, ended with the test. */
async function connect(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** A role that can log in, dropped with the test, and the URL it connects with. */
async function role(t: Test, ...memberOf: string[]): Promise<{ name: string; url: string }> {
  const name = `pgmill_test_${randomBytes(6).toString('hex')}`;
  await db.sql(`create role ${name} login password 'secret'`);
  t.teardown(() => db.sql(`drop owned by ${name}; drop role ${name}`));
  for (const group of memberOf) await db.sql(`grant ${group} to ${name}`);
  const url = new URL(db.url);
  [url.username, url.password] = [name, 'secret'];
  return { name, url: url.href };
}

/** Sends a few jobs along every way there is; what it returns is the same wherever it works. */
async function everything(on: On): Promise<unknown> {
  const rows = async (text: string, params: unknown[] = []) => (await on.query(text, params)).rows;
  const claim = (max: number) => rows(`select id, token from pgmill.get_jobs('w', $1, '{default,mail}')`, [max]);
  const first = Number((await rows(`select pgmill.add_job('first', '{"n": 1}') as id`))[0].id);
  await rows(
    `select pgmill.add_job('second', priority => 1, run_at => clock_timestamp() - interval '1 day', unique_key => 'k')`,
  );
  await rows(`select pgmill.add_job('second', priority => 2, unique_key => 'k', on_duplicate => 'replace')`);
  await rows(`select pgmill.add_job('later', queue => 'mail', run_at => '2100-01-01T00:00:00Z')`);
  await rows(
    `select * from pgmill.add_jobs('[{"name": "a"}, {"name": "b", "queue": "mail", "timeout": "5 s"}, {"name": "c", "unique_key": "c"},
       {"name": "d"}, {"name": "e", "run_at": "2100-01-01T00:00:00Z"}, {"name": "f"}, {"name": "g", "unique_key": "g"}]')`,
  );
  const [one] = await claim(1);
  await rows(`select * from pgmill.extend_leases(array[$1::bigint], array[$2::uuid], '1 minute')`, [one.id, one.token]);
  await rows(`select pgmill.complete_job($1, $2, '{"done": true}')`, [one.id, one.token]);
  const [fail, release, snooze, gone, last] = await claim(5);
  await rows(`select * from pgmill.fail_job($1, $2, 'oops', '0')`, [fail.id, fail.token]);
  await rows(`select * from pgmill.release_jobs(array[$1::bigint], array[$2::uuid])`, [release.id, release.token]);
  await rows(`select * from pgmill.snooze_job($1, $2, '2100-01-01T00:00:00Z')`, [snooze.id, snooze.token]);
  await rows(`select * from pgmill.complete_jobs(array[$1::bigint], array[$2::uuid], keep => false)`, [
    gone.id,
    gone.token,
  ]);
  await rows('select * from pgmill.fail_jobs($1)', [JSON.stringify([{ ...last, error: 'x', final: true }])]);
  const [asked] = await claim(1);
  await rows('select pgmill.cancel_job($1)', [asked.id]);
  await rows(`select * from pgmill.fail_job($1, $2, 'asked to stop')`, [asked.id, asked.token]);
  await rows(`select pgmill.cancel_jobs(name => 'e')`);
  await rows('select pgmill.retry_job($1)', [last.id]);
  await rows(`select pgmill.update_job($1, priority => 3)`, [last.id]);
  await rows('select pgmill.reclaim()');
  await rows('select * from pgmill.tick()');
  await rows(`select pgmill.cron_upsert('yearly', '0 0 1 1 *')`);
  await rows(`select pgmill.cron_remove('yearly')`);
  await rows(`select pgmill.next_run_at()`);
  await rows(`select * from pgmill.average_time_to_completion('2000-01-01T00:00:00Z', '2100-01-01T00:00:00Z')`);
  const insights = await rows(
    `select queue, name, ready::int, scheduled::int, retrying::int, running::int, completed::int, failed::int, cancelled::int
     from pgmill.insights() order by 1, 2`,
  );
  const found = await rows(`select id, state, name, attempts, unique_key from pgmill.find_jobs() order by id`);
  await rows(`select * from pgmill.cleanup('0', '0', '0')`);
  const left = await rows(`select id, state from pgmill.find_jobs() order by id`);
  return {
    insights,
    found: found.map((job) => ({ ...job, id: job.id - first })),
    left: left.map(({ id, state }) => `${id - first} ${state}`),
  };
}

const four = ['pgmill_producer', 'pgmill_worker', 'pgmill_observer', 'pgmill_admin'];

t.test("a role runs its folder's functions, and nothing else of pgmill", async (t) => {
  const own: Record<string, string> = {
    pgmill_producer: `select pgmill.add_job('a')`,
    pgmill_worker: `select pgmill.get_jobs('w', 1)`,
    pgmill_observer: 'select pgmill.insights()',
    pgmill_admin: 'select pgmill.find_jobs()',
  };
  const forbidden = [
    ...Object.values(own),
    `select pgmill.backoff(1, '1 s', '1 s')`,
    `select pgmill.turn_ring()`,
    `select pgmill.read_jobs('[]')`,
    `select pgmill.wake('default')`,
    'select * from pgmill.job',
    'select * from pgmill.waiting',
    'select * from pgmill.job_key',
    `delete from pgmill.ready`,
    `insert into pgmill.job_key values ('q', 'k', 1)`,
    `select nextval('pgmill.job_id')`,
    `select last_value from pgmill.ready_slot`,
    'create table pgmill.mine ()',
  ];
  for (const group of four) {
    const { url } = await role(t, group);
    const client = await connect(t, url);
    for (const text of forbidden) {
      if (text === own[group]) await t.resolves(client.query(text), `${group}: ${text}`);
      else await t.rejects(client.query(text), { code: '42501' }, `${group}: ${text}`);
    }
  }
  const nobody = await connect(t, (await role(t)).url);
  for (const text of forbidden) await t.rejects(nobody.query(text), { code: '42501' }, `no role: ${text}`);
});

t.test('members of the roles can do everything together, and own nothing', async (t) => {
  const expected = await everything(db.pool);
  await empty(db);
  t.same(await everything(await connect(t, (await role(t, ...four)).url)), expected);
});

t.test("a caller's tables, functions and operators do not get into pgmill's", async (t) => {
  const expected = await everything(db.pool);
  await empty(db);
  const { name, url } = await role(t, ...four);
  await db.sql(`grant create, temporary on database ${new URL(url).pathname.slice(1)} to ${name}`);
  const evil = await connect(t, url);
  await evil.query('create schema evil');
  for (const table of [
    'waiting',
    'ready',
    'running',
    'finished',
    'job_key',
    'job',
    'ready_0',
    'cron',
    'ready_slot',
    'job_id',
  ]) {
    await evil.query(`create temp table ${table} (id bigint, queue text, unique_key text, last_value int)`);
    await evil.query(`create table evil.${table} (like pg_temp.${table})`);
  }
  const takeover = (declaration: string, type: string) =>
    evil.query(
      `create function evil.${declaration} returns ${type} language plpgsql as $$ begin raise 'evil was here'; end $$`,
    );
  for (const [declaration, type] of [
    ['clock_timestamp()', 'timestamptz'],
    ['nextval(regclass)', 'bigint'],
    ['nextval(text)', 'bigint'],
    ['length(text)', 'int'],
    ['cardinality(anyarray)', 'int'],
    ['isfinite(timestamptz)', 'boolean'],
    ['isfinite(interval)', 'boolean'],
    ['pg_column_size(jsonb)', 'int'],
    ['hashtext(text)', 'int'],
    ['pg_try_advisory_xact_lock_shared(int, int)', 'boolean'],
    ['pg_notify(text, text)', 'void'],
    ['gen_random_uuid()', 'uuid'],
    ['random()', 'float8'],
    ['power(float8, float8)', 'float8'],
    ['make_interval(int, int, int, int, int, int, float8)', 'interval'],
    ['jsonb_array_length(jsonb)', 'int'],
    ['jsonb_build_array(jsonb)', 'jsonb'],
    ['array_position(anyarray, anyelement)', 'int'],
    ['greatest_of(int, int)', 'int'],
    ['eq(text, text)', 'boolean'],
    ['eq(bigint, bigint)', 'boolean'],
    ['lt(timestamptz, timestamptz)', 'boolean'],
  ] as const) {
    await takeover(declaration, type);
  }
  await evil.query('create operator evil.= (leftarg = text, rightarg = text, function = evil.eq)');
  await evil.query('create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.eq)');
  await evil.query('create operator evil.<= (leftarg = timestamptz, rightarg = timestamptz, function = evil.lt)');
  await evil.query('set search_path = pg_temp, evil, pg_catalog');
  await t.rejects(evil.query('select clock_timestamp()'), /evil was here/, 'it does take over what is not pinned');
  // What the caller writes itself is the caller's affair: here it says which functions it means.
  const own: On = {
    query: ((text: string, params: unknown[]) =>
      evil.query(text.replace('clock_timestamp()', 'pg_catalog.clock_timestamp()'), params)) as never,
  };
  t.same(await everything(own), expected);
  for (const table of ['waiting', 'ready', 'running', 'finished', 'job_key']) {
    t.same((await evil.query(`select * from pg_temp.${table}`)).rows, [], `nothing came into its ${table}`);
  }
  await evil.query('reset search_path');
});

t.test("the session's settings do not matter", async (t) => {
  const expected = await everything(db.pool);
  const settings = [
    `datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set timezone = 'Pacific/Chatham'`,
    `datestyle = 'German'; set intervalstyle = 'iso_8601'; set timezone = 'America/St_Johns'`,
    `plan_cache_mode = force_custom_plan; set enable_indexscan = off; set enable_nestloop = off`,
    `standard_conforming_strings = off; set escape_string_warning = off; set array_nulls = off; set extra_float_digits = -15`,
    `default_transaction_isolation = 'serializable'; set default_transaction_deferrable = on`,
    `default_transaction_isolation = 'repeatable read'; set row_security = off; set check_function_bodies = off`,
    `search_path = ''; set lock_timeout = '10s'; set statement_timeout = '60s'; set quote_all_identifiers = on`,
  ];
  const client = await db.client();
  for (const each of settings) {
    await empty(db);
    await client.query(`set ${each}`);
    t.same(await everything(client), expected, each);
    await client.query('reset all');
  }
});

t.test(
  'it all works within one transaction of each isolation level, and leaves nothing when that is rolled back',
  async (t) => {
    const before = await contents(db);
    const client = await db.client();
    for (const level of ['read committed', 'repeatable read', 'serializable']) {
      await client.query(`begin isolation level ${level}`);
      await everything(client);
      await client.query('rollback');
      await unchanged(t, db, before, level);
    }
  },
);

t.test('it works in a database whose owner is nobody special', async (t) => {
  const expected = await everything(db.pool);
  const name = `pgmill_test_${randomBytes(6).toString('hex')}`;
  const { name: owner, url } = await role(t);
  await db.sql(`create database ${name} owner ${owner}`);
  t.teardown(() => db.sql(`drop database ${name} with (force)`));
  const here = new URL(url);
  here.pathname = `/${name}`;
  await install(here.href);
  const client = await connect(t, here.href);
  t.equal(await value(client, 'select rolsuper or rolcreaterole from pg_roles where rolname = current_user'), false);
  t.same(await everything(client), expected, 'for the owner');
  await client.query(
    'truncate pgmill.waiting, pgmill.ready, pgmill.running, pgmill.finished, pgmill.payload, pgmill.job_key',
  );
  const member = new URL((await role(t, ...four)).url);
  member.pathname = `/${name}`;
  const worker = await connect(t, member.href);
  t.same(await everything(worker), expected, 'and for members of the roles');

  await client.query(
    `drop table pgmill.finished_completed_${await value(client, `select to_char(now() at time zone 'UTC', 'YYYYMMDD')`)}`,
  );
  await client.query('alter table pgmill.ready_0 set (fillfactor = 10)');
  await client.query('alter table pgmill.ready_1 set (fillfactor = 10)');
  const payload = JSON.stringify('x'.repeat(1100));
  await worker.query(
    `select count(*) from pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'x', 'payload', $1::jsonb)) from generate_series(1, 1100)))`,
    [payload],
  );
  t.same((await worker.query('select * from pgmill.tick()')).rows, [
    { task: 'partitions', changed: '1' },
    { task: 'ring', changed: '1' },
  ]);
});

t.test('publications of all tables do not get in the way', async (t) => {
  const expected = await everything(db.pool);
  for (const how of ['false', 'true']) {
    await empty(db);
    await db.sql(`create publication everything for all tables with (publish_via_partition_root = ${how})`);
    t.same(await everything(db.pool), expected, `publish_via_partition_root = ${how}`);
    await db.sql('alter table pgmill.ready_0 set (fillfactor = 10)');
    await db.sql(`select setval('pgmill.ready_slot', 0)`);
    await db.sql(
      `select count(*) from pgmill.add_jobs((select jsonb_agg(jsonb_build_object('name', 'x', 'payload', repeat('x', 1100))) from generate_series(1, 1100)))`,
    );
    await db.sql(
      `drop table pgmill.finished_failed_${await value(db, `select to_char(now() at time zone 'UTC', 'YYYYMMDD')`)}`,
    );
    t.same(await db.sql('select task from pgmill.tick()'), [{ task: 'partitions' }, { task: 'ring' }]);
    await db.sql('drop publication everything');
  }
});
