// Installing: migrate(), mill.migrate() and the command line, on databases that have nothing yet.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import t from 'tap';
import { migrate, PgMill } from '../../client/index.js';
import { testDatabase } from '../postgres/database.js';
import { fastSettings, startPostgres } from '../postgres/start.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string };

t.test('installs pgmill once, whichever way the database is named', async (t) => {
  const { url, pool, sql } = await testDatabase(t, { blank: true });
  const first = await migrate({ connectionString: url });
  t.match(first, { version, changed: true, warnings: [] });
  const names = (await sql('select name from pgmill.migration order by name')).map(({ name }) => name);
  t.ok(names.length > 0);
  t.strictSame(first.applied, names);

  const again = { version, changed: false, applied: [], warnings: [] };
  t.strictSame(await migrate({ connectionString: url }), again);
  t.strictSame(await migrate({ pool }), again);
  const mill = new PgMill({ pool });
  t.teardown(() => mill.close());
  t.strictSame(await mill.migrate(), again);
  t.match(await mill.addJob('works'), /^\d+$/);
  t.notOk(pool.ended, 'the pool of the caller stays open');
});

t.test('runs in five processes at once, and one of them does the work', async (t) => {
  const { url, sql } = await testDatabase(t, { blank: true });
  const results = await Promise.all([1, 2, 3, 4, 5].map(() => pgmill(['migrate', '--database-url', url])));
  t.strictSame(
    results.map(({ code, stderr }) => `${code}${stderr}`),
    ['0', '0', '0', '0', '0'],
  );
  t.equal(results.filter(({ stdout }) => stdout.includes('applied 000001.sql')).length, 1);
  t.equal(results.filter(({ stdout }) => stdout.includes('was installed already')).length, 4);
  t.strictSame(await sql('select version from pgmill.installed'), [{ version }]);
});

t.test('brings an older installation up to date', async (t) => {
  const { pool, sql } = await testDatabase(t, { blank: true });
  await migrate({ pool });
  await sql(`update pgmill.installed set version = '0.0.0', sql_hash = 'sha1:older'`);
  await sql('drop function pgmill.tick()');
  t.match(await migrate({ pool }), { version, changed: true, applied: [] });
  t.strictSame(await sql('select version from pgmill.installed'), [{ version }]);
  t.equal((await sql('select pgmill.tick()')).length < 10, true);
});

t.test('refuses a database that is newer or has another history, and leaves it as it was', async (t) => {
  const { url, sql } = await testDatabase(t, { blank: true });
  await migrate({ connectionString: url });
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  t.teardown(() => pool.end());
  const refuses = async (change: string, undo: string, error: { code: string; [property: string]: unknown }) => {
    await sql(change);
    await t.rejects(migrate({ pool }), error, change);
    const { rows } = await pool.query('select now() = statement_timestamp() as idle');
    t.strictSame(rows, [{ idle: true }], 'the connection is in no transaction');
    await sql(undo);
    t.match(await migrate({ pool }), { changed: false });
  };
  await refuses(
    `update pgmill.installed set version = '99.0.0'`,
    `update pgmill.installed set version = '${version}'`,
    {
      name: 'NewerSchemaError',
      code: 'PM101',
      message: /99\.0\.0/,
      hint: /./,
    },
  );
  await refuses(
    `insert into pgmill.migration (name, hash) values ('future.sql', 'sha1:x')`,
    `delete from pgmill.migration where name = 'future.sql'`,
    { name: 'NewerSchemaError', code: 'PM101', message: /future\.sql/ },
  );
  await refuses(`update pgmill.migration set hash = hash || 'x'`, `update pgmill.migration set hash = left(hash, -1)`, {
    name: 'ChangedHistoryError',
    code: 'PM102',
    hint: /./,
  });
  t.equal(pool.listenerCount('error'), 0);
});

t.test('without the right to create roles it warns, and grants once someone else has made them', async (t) => {
  const server = await startPostgres({ settings: fastSettings });
  t.teardown(() => server.stop());
  const admin = new pg.Client({ connectionString: server.connectionString });
  await admin.connect();
  t.teardown(() => admin.end());
  await admin.query(`create user plain password 'plain'`);
  await admin.query('create database app owner plain');
  const options = { connectionString: server.url('app', 'plain', 'plain') };

  const first = await migrate(options);
  t.equal(first.changed, true);
  t.equal(first.warnings.length, 4);
  t.match(first.warnings[0], /pgmill_producer/);
  t.match(await migrate(options), { changed: false, warnings: [] });

  await admin.query('create role pgmill_producer');
  await migrate(options);
  const app = new pg.Client({ connectionString: server.url('app') });
  await app.connect();
  await app.query('set role pgmill_producer');
  t.equal((await app.query(`select pgmill.add_job('a') is not null as added`)).rows[0].added, true);
  await app.end();
});

t.test('the command line', async (t) => {
  const { url } = await testDatabase(t, { blank: true });
  const secret = 'hunter2';
  const withPassword = (change: (url: URL) => void) => {
    const changed = new URL(url);
    changed.password = secret;
    change(changed);
    return changed.href;
  };

  t.test('installs, and says so', async (t) => {
    const first = await pgmill(['migrate', '--database-url', url]);
    t.match(first, {
      code: 0,
      stderr: '',
      stdout: /^applied 000001\.sql\n(applied .*\n)*pgmill \S+ is installed\.\n$/,
    });
    const { hostname, port, username, password, pathname } = new URL(url);
    const again = { code: 0, stderr: '', stdout: `pgmill ${version} was installed already.\n` };
    const [fromUrl, fromPg] = await Promise.all([
      pgmill(['migrate'], { DATABASE_URL: url }),
      pgmill(['migrate'], {
        PGHOST: hostname,
        PGPORT: port,
        PGUSER: username,
        PGPASSWORD: decodeURIComponent(password),
        PGDATABASE: pathname.slice(1),
      }),
    ]);
    t.strictSame(fromUrl, again, 'DATABASE_URL');
    t.strictSame(fromPg, again, 'PG*');
  });

  t.test('fails with one line, and never shows a password', async (t) => {
    const urls = {
      'a wrong password': withPassword(() => {}),
      'nobody listens': withPassword((changed) => {
        changed.port = '1';
      }),
      'nobody listens on any address': withPassword((changed) => {
        changed.port = '1';
        changed.hostname = 'localhost';
      }),
      'no such host': withPassword((changed) => {
        changed.hostname = 'host.invalid';
      }),
      'no URL at all': `postgres://u:${secret}@h:port/x`,
    };
    const results = await Promise.all(Object.values(urls).map((wrong) => pgmill(['migrate', '--database-url', wrong])));
    for (const [index, what] of Object.keys(urls).entries()) {
      const { code, stdout, stderr } = results[index] as Result;
      // A server that trusts everyone, as one given by TEST_DATABASE_URL may, takes the wrong password.
      if (what === 'a wrong password' && code === 0) continue;
      t.match({ code, stdout, stderr }, { code: 1, stdout: '', stderr: /^pgmill: \S[^\n]+\n$/ }, what);
      t.notOk(stderr.includes(secret), `${what}: ${stderr}`);
    }
  });

  t.test('explains wrong usage with exit code 2, without repeating what was typed', async (t) => {
    const lines: [string[], RegExp][] = [
      [[], /no command/],
      [[`postgres://u:${secret}@h/x`], /no such command/],
      [['migrate', `postgres://u:${secret}@h/x`], /migrate takes options only/],
      [['migrate', `--url=postgres://u:${secret}@h/x`], /--url/],
      [['migrate', '--database-url'], /--database-url/],
      [['migrate', '--database-url', `u:${secret}@h/x`], /must begin with postgres:/],
    ];
    const results = await Promise.all(lines.map(([args]) => pgmill(args)));
    for (const [index, [args, message]] of lines.entries()) {
      const { code, stdout, stderr } = results[index] as Result;
      t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: message }, args.join(' '));
      t.match(stderr, /^pgmill: .*\nTry "pgmill --help".\n$/);
      t.notOk(stderr.includes(secret), stderr);
    }
  });

  t.test('helps', async (t) => {
    const [help, inCommand, tells] = await Promise.all([
      pgmill(['--help']),
      pgmill(['migrate', '--help']),
      pgmill(['--version']),
    ]);
    t.match(help, { code: 0, stdout: /migrate \[--database-url URL\]/, stderr: '' });
    t.strictSame(inCommand, help);
    t.strictSame(tells, { code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line as a process, with no database in its environment but what is given. */
function pgmill(args: string[], env: Record<string, string> = {}): Promise<Result> {
  const { PATH } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', `${root}client/cli.ts`, ...args],
      { cwd: root, env: { PATH, ...env }, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr }),
    );
  });
}
