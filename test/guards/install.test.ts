// sql/install.sql on a server where nothing of pgmill has ever been, run as psql and as any client runs it.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { committedMigrations, installLock, installScript } from '../../sql/generate-install.js';
import { fastSettings, startPostgres } from '../postgres/start.js';

interface Notice {
  message: string | undefined;
  hint?: string | undefined;
}

const server = await startPostgres({ settings: fastSettings });
t.teardown(() => server.stop());
const script = installScript();
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const functionsHash = /^-- Functions: (\S+)$/m.exec(script)?.[1] ?? '';
const migrations = committedMigrations();
let databases = 0;

// First, because roles belong to the whole server.
t.test('a plain owner of a database installs it, and is told which roles are missing', async (t) => {
  await run('postgres', "create role plain login password 'plain'");
  const name = await createDatabase('plain');
  const client = await connect(t, name, 'plain', 'plain');
  const warnings = listen(client);
  await client.query(script);
  t.equal(warnings.length, 4);
  for (const role of ['producer', 'worker', 'observer', 'admin']) {
    const warning = warnings.find(({ message }) => message?.includes(`pgmill_${role} is missing`));
    t.match(warning?.hint, `create role pgmill_${role}`);
  }
  t.equal(await value(client, `select pgmill.add_job('x') > 0`), true, 'and it works for the owner');
});

t.test('roles that are created later get their functions at the next installation', async (t) => {
  const name = await createDatabase('plain');
  const client = await connect(t, name, 'plain', 'plain');
  await client.query(script);
  await run('postgres', 'create role pgmill_producer nologin');
  const warnings = listen(client);
  await client.query(script);
  t.equal(warnings.length, 3);
  t.equal(
    await value(client, `select has_function_privilege('pgmill_producer', 'pgmill.add_jobs(jsonb)', 'execute')`),
    true,
  );
  t.equal(await value(client, `select has_schema_privilege('pgmill_producer', 'pgmill', 'usage')`), true);
});

t.test('it can be run again, and changes nothing then', async (t) => {
  const client = await connect(t, await createDatabase());
  await client.query(script);
  const before = await everything(client);
  const warnings = listen(client);
  await client.query(script);
  t.same(await everything(client), before);
  t.same(warnings, [], 'and says nothing');
  t.match(await rows(client, 'select * from pgmill.installed'), [{ version, sql_hash: functionsHash }]);
  t.same(
    await rows(client, 'select name, hash from pgmill.migration order by name'),
    migrations.map(({ name, hash }) => ({ name, hash })),
  );
});

t.test('five at once install it once', async (t) => {
  const name = await createDatabase();
  const clients = await Promise.all([1, 2, 3, 4, 5].map(() => connect(t, name)));
  await Promise.all(clients.map((client) => client.query(script)));
  t.equal(await value(clients[0], 'select count(*)::int from pgmill.migration'), migrations.length);
  t.equal(await value(clients[0], 'select count(*)::int from pgmill.installed'), 1);
});

t.test(
  "it does not depend on the session's settings, and waits for another installation as long as that takes",
  async (t) => {
    const name = await createDatabase();
    const [client, other] = [await connect(t, name), await connect(t, name)];
    await client.query(`
    create schema nowhere;
    create function nowhere.to_regnamespace(text) returns regnamespace language sql as 'select (1 / 0)::regnamespace';
    set search_path = nowhere, pg_catalog; set statement_timeout = '200ms'; set lock_timeout = '200ms';
    set default_transaction_isolation = serializable; set default_transaction_read_only = on;
    set standard_conforming_strings = off`);
    await other.query(`begin; select pg_advisory_xact_lock(${installLock})`);
    const installed = client.query(script);
    await other.query('select pg_sleep(0.3); commit');
    await installed;
    t.equal(await value(client, 'show search_path'), 'nowhere, pg_catalog', 'and leaves them alone');
  },
);

t.test('psql prints nothing, first and second time', { skip: !hasPsql() && 'no psql here' }, async (t) => {
  const url = server.url(await createDatabase());
  const file = path.join(t.testdir({}), 'install.sql');
  writeFileSync(file, script);
  for (const time of ['first', 'second']) {
    const args = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file, url];
    const { status, stdout, stderr } = spawnSync('psql', args, { encoding: 'utf8' });
    t.same({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' }, time);
  }
});

t.test('it refuses a database with a newer pgmill, and changes nothing', async (t) => {
  const client = await connect(t, await createDatabase());
  await client.query(script);
  for (const newer of ['0.0.2', '0.10.0', '1.0.0-beta.1']) {
    await client.query(`update pgmill.installed set version = '${newer}'`);
    await refused(t, client, script, 'PM101', newer);
  }
  await client.query(`update pgmill.installed set version = '0.0.0'`);
  await client.query(script);
  t.equal(await value(client, 'select version from pgmill.installed'), version, 'an older one is brought up to date');
});

t.test('it refuses a database that has had a migration it does not know', async (t) => {
  const client = await connect(t, await createDatabase());
  await client.query(script);
  await client.query(`insert into pgmill.migration (name, hash) values ('999999.sql', 'sha1:0')`);
  await refused(t, client, script, 'PM101', '999999.sql');
});

t.test('it refuses a database whose migrations are not its own', async (t) => {
  const client = await connect(t, await createDatabase());
  await client.query(script);
  await client.query(`update pgmill.migration set hash = 'sha1:0' where name = '000001.sql'`);
  await refused(t, client, script, 'PM102', '000001.sql');
});

t.test(
  'when sql/ changed, functions and views of the old form are gone; jobs and what users built remain',
  async (t) => {
    const client = await connect(t, await createDatabase());
    await client.query(script);
    await client.query(`
    drop function pgmill.add_jobs(jsonb);
    create function pgmill.add_jobs(jobs jsonb) returns int language sql as 'select 1';
    create function pgmill.add_job(old_form int) returns int language sql as 'select 1';
    create function pgmill.forgotten() returns int language sql as 'select 1';
    create view pgmill.forgotten_view as select pgmill.forgotten();
    create view public.mine as select * from pgmill.job;
    create view public.mine_too as select * from pgmill.insights();
    update pgmill.installed set sql_hash = 'sha1:0'`);
    const id = await value(client, `select pgmill.add_job(name => 'kept')`);
    await client.query(script);
    t.same(await rows(client, 'select id, name from public.mine'), [{ id, name: 'kept' }]);
    t.equal((await rows(client, 'select * from public.mine_too')).length, 1);
    t.equal(await value(client, `select to_regproc('pgmill.forgotten')`), null);
    t.equal(await value(client, `select to_regclass('pgmill.forgotten_view')`), null);
    await client.query('drop view public.mine, public.mine_too');
    const fresh = await connect(t, await createDatabase());
    await fresh.query(script);
    t.same(await everything(client), await everything(fresh), 'otherwise it is as a fresh one');
  },
);

t.test('a view takes a new form, although functions return its rows', async (t) => {
  const client = await connect(t, await createDatabase());
  await client.query(script);
  await client.query(`
    drop view pgmill.job cascade;
    create view pgmill.job as select 1 as other_columns;
    create function pgmill.find_job(id bigint) returns setof pgmill.job language sql as 'select 1';
    update pgmill.installed set sql_hash = 'sha1:0'`);
  await client.query(script);
  const fresh = await connect(t, await createDatabase());
  await fresh.query(script);
  t.same(await everything(client), await everything(fresh));
});

t.test('an installation that breaks off leaves nothing', async (t) => {
  const client = await connect(t, await createDatabase());
  const broken = script.replace(/\ncommit;\n$/, '\nselect 1 / 0;\ncommit;\n');
  await t.rejects(client.query(broken), { code: '22012' });
  await client.query('rollback');
  t.equal(await value(client, `select to_regnamespace('pgmill')`), null);
});

async function createDatabase(owner = 'postgres'): Promise<string> {
  const name = `install_${++databases}`;
  await run('postgres', `create database ${name} owner ${owner}`);
  return name;
}

async function run(database: string, text: string): Promise<void> {
  const client = new pg.Client(server.url(database));
  await client.connect();
  await client.query(text).finally(() => client.end());
}

async function connect(t: Test, database: string, user?: string, password?: string): Promise<pg.Client> {
  const client = new pg.Client(server.url(database, user, password));
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** What the server says to this client from now on. */
function listen(client: pg.Client): Notice[] {
  const notices: Notice[] = [];
  client.on('notice', (notice) => notices.push(notice));
  return notices;
}

// biome-ignore lint/suspicious/noExplicitAny: columns by name
async function rows(client: pg.Client, text: string): Promise<any[]> {
  return (await client.query(text)).rows;
}

async function value(client: pg.Client | undefined, text: string): Promise<unknown> {
  const result = await client?.query({ text, rowMode: 'array' });
  return result?.rows[0]?.[0];
}

function hasPsql(): boolean {
  return spawnSync('psql', ['--version']).status === 0;
}

/** Columns, indexes, functions and grants of pgmill, in words. */
async function everything(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query(`
    select format('function %s %s %s', p.oid::regprocedure, p.proacl, pg_get_functiondef(p.oid)) as what
    from pg_proc p where p.pronamespace = 'pgmill'::regnamespace
    union all
    select format('relation %s %s %s', c.oid::regclass, c.relkind, c.relacl) from pg_class c
    where c.relnamespace = 'pgmill'::regnamespace
    union all
    select format('column %s %s %s', a.attrelid::regclass, a.attname, a.atttypid::regtype)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'pgmill'::regnamespace and a.attnum > 0
    union all
    select format('view %s', pg_get_viewdef(c.oid)) from pg_class c
    where c.relnamespace = 'pgmill'::regnamespace and c.relkind = 'v'
    union all
    select format('installed %s %s %s', version, sql_hash, (select count(*) from pgmill.migration)) from pgmill.installed
    order by 1`);
  return rows.map((row) => row.what);
}

async function refused(t: Test, client: pg.Client, text: string, code: string, says: string): Promise<void> {
  const before = await everything(client);
  const error = await client.query(text).then(
    () => undefined,
    (error: pg.DatabaseError) => error,
  );
  await client.query('rollback');
  t.equal(error?.code, code);
  t.match(error?.message, says);
  t.match(error?.hint, /./);
  t.same(await everything(client), before);
}
