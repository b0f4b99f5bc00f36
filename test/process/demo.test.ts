// The demo that `npm start` runs, as a process of its own: what it shows, what it does, and what it leaves behind.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { Insight } from '../../client/index.js';
import { checkFiles } from '../../examples/files/check.js';
import { makeTables } from '../../examples/files/database.js';
import { number } from '../../examples/files/format.js';
import { measure } from '../../examples/files/measure.js';
import { readFolder, UsageError } from '../../examples/files/options.js';
import { decodePath, encodePath } from '../../examples/files/paths.js';
import { Progress } from '../../examples/files/progress.js';
import { Found } from '../../examples/files/walk.js';
import { testDatabase } from '../postgres/database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Root may read everything, so it becomes another user where that matters. */
const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

t.test('works through every file, and its results are right', async (t) => {
  const { url, sql } = await testDatabase(t);
  const folder = tempFolder(t);
  const files = oddFiles(folder);
  await sql(`select pgmill.add_job('demo.file', '{"of": "someone else"}')`);
  await sql('create schema mine; create table mine.file ()');

  const demo = new Demo(t, [folder], { DATABASE_URL: url });
  t.equal(await demo.code(), 0, demo.stderr);
  t.equal(demo.stderr, '');
  for (const part of [
    `pgmill demo: every file of ${folder}`,
    'database "pgmill_test_',
    'demo.endless, which ran for ',
    `100 %  ${files.size} of ${files.size} files`,
    `Found ${files.size} files in 4 folders; skipped 2 symbolic links, 1 device, pipe or socket.`,
    'Insights\n',
    'average run',
    'The ten best-compressed files\n',
    '757.6 : 1  100.0 kB  132 bytes  sub/zeros',
    `  ${files.size}  files with exactly one result, of a job that completed\n`,
    '1 file failed at first and came back',
    'The check holds.',
    'Everything, with starting and stopping: ',
  ]) {
    t.ok(demo.stdout.includes(part), part, { stdout: demo.stdout });
  }

  const rows = await sql('select f.path, r.* from pgmill_demo.file f left join pgmill_demo.result r on r.file = f.id');
  t.equal(rows.length, files.size);
  for (const { path: name, bytes, lines, gzip_bytes, sha256 } of rows) {
    const content = files.get(decodePath(name).toString('latin1')) ?? Buffer.from('no such file');
    t.same(
      { bytes: Number(bytes), lines: Number(lines), gzip: Number(gzip_bytes), sha256 },
      {
        bytes: content.length,
        lines: content.toString('latin1').split('\n').length - 1,
        gzip: gzipSync(content).length,
        sha256: createHash('sha256').update(content).digest('hex'),
      },
      name,
    );
  }
  const oneTransaction = await sql(
    'select 1 from pgmill_demo.result r join pgmill.finished f on f.id = r.job and f.xmin = r.xmin',
  );
  t.equal(oneTransaction.length, files.size, 'each result was written in the transaction that completed its job');
  const folders = await sql(`
    select regexp_replace(path, '[^/]*$', '') collate "C" as folder, count(distinct xmin::text)::int as transactions
    from pgmill_demo.file group by 1 order by 1`);
  t.same(
    folders.map(({ folder, transactions }) => [folder, transactions]),
    [
      ['', 1],
      ['b%E4d/', 1],
      ['sub/', 1],
    ],
    'the files of a folder were added in one transaction',
  );
  t.same(
    await sql(`select name, state, count(*)::int as jobs, bool_and(attempts between 1 and 2) as attempts
               from pgmill.job where queue like 'pgmill_demo_%' group by name, state order by name`),
    [
      { name: 'demo.endless', state: 'cancelled', jobs: 1, attempts: true },
      { name: 'demo.file', state: 'completed', jobs: files.size, attempts: true },
    ],
  );
  t.same(
    await sql(`select state, attempts from pgmill.job where queue = 'default'`),
    [{ state: 'ready', attempts: 0 }],
    'a job of someone else is left alone',
  );
  t.equal((await sql(`select to_regclass('mine.file') as there`))[0].there, 'mine.file');
});

t.test('Ctrl-C stops it gracefully, and the next start takes over', async (t) => {
  const { url, sql, client } = await testDatabase(t);
  const demo = new Demo(t, [manyFiles(t)], { DATABASE_URL: url });
  await demo.says('demo.endless, which ran');

  demo.process.kill('SIGINT');
  demo.process.kill('SIGINT'); // as npm does it, which passes the terminal's on; not a second Ctrl-C
  t.equal(await demo.code(), 130, demo.stderr);
  const [, done = ''] = /^Stopped: of the 3,000 files found so far, ([\d,]+) are done\.$/m.exec(demo.stdout) ?? [];
  t.match(demo.stdout, /^Stopping: running jobs finish\./m);
  const states = async () =>
    (
      await sql(
        `select state, count(*)::int as jobs from pgmill.job where name = 'demo.file' group by state order by state`,
      )
    ).map(({ state, jobs }) => [state === 'scheduled' ? 'ready' : state, jobs]);
  const after = Object.fromEntries(await states());
  t.equal(done, number(after.completed ?? 0));
  t.ok(after.completed < 3000, 'it was stopped midway');
  t.notOk('running' in after, 'nothing is left running');
  t.equal((await sql('select count(*)::int as rows from pgmill_demo.result'))[0].rows, after.completed ?? 0);

  const small = tempFolder(t);
  writeFileSync(path.join(small, 'one'), 'one\n');
  const other = await client();
  await other.query(`select pg_advisory_lock(hashtext('pgmill_demo'))`);
  const second = new Demo(t, [small], { DATABASE_URL: url });
  t.equal(await second.code(), 2, 'but not beside another demo');
  t.equal(second.stderr, 'pgmill demo: another demo is at work in this database\n');
  await other.end();
  t.equal(await new Demo(t, [small], { DATABASE_URL: url }).code(), 0);
  const left = new Map((await states()) as [string, number][]);
  t.equal(left.get('completed'), (after.completed ?? 0) + 1);
  t.equal(left.get('cancelled'), 3000 - (after.completed ?? 0), 'what was left is cancelled');
});

t.test('SIGTERM, a reader that goes away and kill -9 leave nothing behind', async (t) => {
  const folder = manyFiles(t);
  const endings: [string, number | null, (demo: Demo) => unknown][] = [
    ['SIGTERM', 130, ({ process }) => process.kill('SIGTERM')],
    ['closed output', 130, ({ process }) => process.stdout?.destroy()],
    ['kill -9', null, ({ process }) => process.kill('SIGKILL')],
  ];
  await Promise.all(
    endings.map(async ([name, code, end]) => {
      const temp = tempFolder(t);
      const demo = new Demo(t, [folder], { TMPDIR: temp, DATABASE_URL: '' });
      await demo.says('Queue ');
      t.ok(left(temp).length > 2, `${name}: before it, there are a folder and processes`);
      end(demo);
      t.equal(await demo.code(), code, name);
      await until(() => left(temp).length === 0);
      t.same(left(temp), [], `${name}: nothing is left`);
    }),
  );
});

t.test('a second Ctrl-C ends it at once', async (t) => {
  const temp = tempFolder(t);
  const folder = tempFolder(t);
  writeFileSync(path.join(folder, 'huge'), '');
  truncateSync(path.join(folder, 'huge'), 50e9); // no space on the disk, but a job of minutes
  const demo = new Demo(t, [folder], { TMPDIR: temp, DATABASE_URL: '' });
  // It fails at first, on purpose, and comes back after half a second; two seconds lie between two lines.
  await until(() => (demo.stdout.match(/1 retried/g) ?? []).length >= 2);
  demo.process.kill('SIGINT');
  await demo.says('Stopping: ');
  await sleep(600);
  demo.process.kill('SIGINT');
  t.equal(await demo.code(), 130);
  t.notOk(demo.stdout.includes('Stopped: '), 'it did not wait for the job');
  await until(() => left(temp).length === 0);
  t.same(left(temp), []);
});

t.test('without DATABASE_URL it starts a server with safe settings, and removes it', async (t) => {
  const temp = tempFolder(t);
  const folder = tempFolder(t);
  const demo = new Demo(t, [folder], { TMPDIR: temp, DATABASE_URL: '' });
  t.equal(await demo.code(), 0, demo.stderr);
  t.match(demo.stdout, /^PostgreSQL 1\d\.\d+, temporary, fsync on/m);
  t.match(demo.stdout, /^ {2}0 {2}files found$/m, 'an empty folder is no trouble');
  t.same(left(temp), []);
});

t.test('an unreadable file is a failed job, and the check does not hold', { skip: whyNotAsUser() }, async (t) => {
  const { url, sql } = await testDatabase(t);
  const folder = tempFolder(t);
  mkdirSync(path.join(folder, 'locked'));
  for (const name of ['open', 'secret', 'locked/inside']) writeFileSync(path.join(folder, name), name);
  for (const name of ['secret', 'locked']) chmodSync(path.join(folder, name), 0);
  const demo = new Demo(t, [folder], { DATABASE_URL: url }, user);
  t.equal(await demo.code(), 1, demo.stderr);
  t.match(demo.stdout, `Cannot read the folder ${folder}/locked: EACCES`);
  t.match(demo.stdout, /^ {2}1 file not done; 1 job failed:\n {4}secret: Permission denied\.$/m);
  t.match(demo.stdout, /^ {2}THE CHECK DOES NOT HOLD\.$/m);
  t.match(await sql(`select state, attempts from pgmill.job where payload ->> 'path' = 'secret'`), [
    { state: 'failed' },
  ]);
  chmodSync(path.join(folder, 'locked'), 0o755);
});

t.test('a wrong command line, or no database, ends with one line and code 2', async (t) => {
  const file = fileURLToPath(import.meta.url);
  for (const [args, message] of [
    [['/no/such/folder'], 'there is no folder /no/such/folder'],
    [[file], `${file} is not a folder`],
    [['.', '..'], 'only one FOLDER can be given'],
    [['--fast'], /^Unknown option '--fast'/],
  ] as const) {
    t.throws(() => readFolder([...args]), { constructor: UsageError, message });
  }
  t.equal(readFolder([]), realpathSync(path.join(root, 'node_modules')));
  t.equal(readFolder(['--help']), undefined);

  const noFolder = new Demo(t, ['/no/such/folder']);
  const noDatabase = new Demo(t, ['.'], { DATABASE_URL: 'postgres://127.0.0.1:1/none' });
  t.equal(await noFolder.code(), 2);
  t.equal(noFolder.stderr, 'pgmill demo: there is no folder /no/such/folder\n');
  t.equal(await noDatabase.code(), 2);
  t.match(noDatabase.stderr, /^pgmill demo: the database cannot be used: .*ECONNREFUSED.*\n$/);
  const help = new Demo(t, ['--help']);
  t.equal(await help.code(), 0);
  t.match(help.stdout, /^Usage: npm start \[-- FOLDER\]/);
});

t.test('the check finds what is wrong', async (t) => {
  const { pool, sql } = await testDatabase(t);
  await makeTables(pool);
  await sql(`insert into pgmill_demo.file (path) values ('a'), ('b')`);
  await sql(`select pgmill.add_jobs('[{"name": "demo.file"}, {"name": "demo.file"}, {"name": "demo.file"}]')`);
  const [a, b, c] = await sql(`select id, token from pgmill.get_jobs('test', 3)`);
  const done = async (file: number, { id, token }: { id: string; token: string }, complete = true) => {
    await sql('insert into pgmill_demo.result (file, job, attempt, sha256) values ($1, $2, 1, $3)', [file, id, 'x']);
    if (complete) await sql('select pgmill.complete_job($1, $2)', [id, token]);
  };
  const check = (completed: number, unreadable: string[] = []) => {
    const found = Object.assign(new Found(), { files: 2, unreadable });
    const insights = [{ name: 'demo.file', completed, failed: 0 } as Insight];
    return checkFiles(pool, { insights, found, failures: [] });
  };
  await done(1, a);
  t.equal((await check(1)).holds, false, 'a file is missing');
  await done(2, b, false);
  t.equal((await check(2)).holds, false, 'its job did not complete');
  await sql('select pgmill.complete_job($1, $2)', [b.id, b.token]);
  t.equal((await check(2)).holds, true);
  await sql('update pgmill_demo.result set sha256 = null where file = 2');
  t.equal((await check(2)).holds, true);
  t.match((await check(2)).lines.join('\n'), '1 file of them had vanished before the job ran.');
  t.equal((await check(3)).holds, false, 'a job too many');
  t.equal((await check(2, ['locked'])).holds, false, 'a folder was not read');
  await done(2, c);
  t.equal((await check(2)).holds, false, 'a file was done twice');
  t.match((await check(2)).lines.join('\n'), '1 file done more than once.');
});

t.test('what has vanished, or is no file any more, is not measured', async (t) => {
  const folder = tempFolder(t);
  const [link, pipe, file] = ['link', 'pipe', 'file'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(file, 'one\ntwo');
  symlinkSync(file, link);
  spawnSync('mkfifo', [pipe]);
  const signal = AbortSignal.timeout(60_000);
  for (const none of [`${folder}/none`, `${file}/none`, link, pipe, folder]) {
    t.equal(await measure(Buffer.from(none), signal), undefined, none);
  }
  t.match(await measure(Buffer.from(file), signal), { bytes: 7, lines: 1 });
  await t.rejects(measure(Buffer.from(file), AbortSignal.abort()), { name: 'AbortError' });
});

t.test('on a terminal, the progress is a bar that fits', async (t) => {
  for (const columns of [120, 80, 40, 20]) {
    let screen = '';
    const found = { files: 0 };
    const progress = new Progress(found, { isTTY: true, columns, write: (text) => (screen += text) });
    progress.start();
    found.files = 2000;
    progress.complete = true;
    progress.done = 990;
    progress.failed = 10;
    progress.show();
    const drawn = screen.split('\r').at(-1)?.replace('\x1b[K', '') ?? '';
    t.ok(drawn.length < columns, `${columns} columns`);
    if (columns >= 80) t.match(drawn, /^\[(#+)\.+\] {2}50 % {2}990 of 2,000 files .* 10 failed/);
    progress.log('a line');
    t.ok(screen.includes('\r\x1b[Ka line\n\r'), 'a line takes the place of the bar, which is drawn again below');
    progress.stop();
    t.ok(screen.endsWith('\n'));
  }
});

t.test('any path can be written as text and read back', async (t) => {
  const paths = Array.from({ length: 500 }, (_, length) => randomBytes(length % 50));
  const wrong = paths.filter((bytes) => {
    const text = encodePath(bytes);
    return /\p{Cc}/u.test(text) || !decodePath(text).equals(bytes);
  });
  t.same(wrong, []);
  t.equal(encodePath(Buffer.from('grüße/100%\n\x1b[31m')), 'grüße/100%25%0A%1B[31m');
});

/** The demo as a process. */
class Demo {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(t: Test, args: string[], env: Record<string, string> = {}, as: object = {}) {
    this.process = spawn(process.execPath, ['--import', 'tsx', 'examples/files/main.ts', ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      ...as,
    });
    this.process.stdout?.on('data', (text) => (this.stdout += text));
    this.process.stderr?.on('data', (text) => (this.stderr += text));
    t.teardown(() => this.process.kill('SIGKILL'));
  }

  async says(text: string): Promise<void> {
    await until(() => this.stdout.includes(text) || this.process.exitCode !== null);
    if (!this.stdout.includes(text)) throw new Error(`It did not say "${text}":\n${this.stdout}${this.stderr}`);
  }

  /** Its exit code, when all of its output is there; null: it was killed. */
  async code(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      await once(this.process, 'close', { signal: AbortSignal.timeout(60_000) });
    }
    return this.process.exitCode;
  }
}

function tempFolder(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'demo-'));
  chmodSync(folder, 0o1777);
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Files by their path, and a few things that are none. */
function oddFiles(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const add = (name: Buffer, content: Buffer) => {
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), name]), content);
    files.set(name.toString('latin1'), content);
  };
  mkdirSync(path.join(folder, 'sub', 'empty'), { recursive: true });
  mkdirSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from('b\xe4d', 'latin1')]));
  add(Buffer.from('empty'), Buffer.alloc(0));
  add(Buffer.from('line\nfeed and "quotes" \\ 100%41'), Buffer.from('one\ntwo\n\nno end'));
  add(Buffer.from('grüße 日本'), Buffer.from('äöü\r\n'));
  add(Buffer.from('b\xe4d/\xff\xfe', 'latin1'), randomBytes(200_000));
  add(Buffer.from('sub/zeros'), Buffer.alloc(100_000));
  for (let n = 0; n < 20; n++) add(Buffer.from(`sub/${n}`), Buffer.from('line\n'.repeat(n)));
  symlinkSync('/etc/passwd', path.join(folder, 'link'));
  symlinkSync('.', path.join(folder, 'sub', 'loop'));
  spawnSync('mkfifo', [path.join(folder, 'pipe')]);
  return files;
}

/** Enough of them that the demo is not done at once. */
function manyFiles(t: Test): string {
  const folder = tempFolder(t);
  for (let n = 0; n < 3000; n++) writeFileSync(path.join(folder, String(n)), 'line\n'.repeat(n));
  return folder;
}

function whyNotAsUser(): string | false {
  return spawnSync('cat', ['package.json'], { cwd: root, ...user }).status !== 0 && 'others may not read this folder';
}

/** The folder of the demo's PostgreSQL, and processes that name it. */
function left(temp: string): string[] {
  const folders = readdirSync(temp).filter((name) => name.startsWith('pgmill-'));
  return [...folders, ...commandLines().filter((line) => line.includes(`${temp}/pgmill-`))];
}

function commandLines(): string[] {
  if (!existsSync('/proc/self')) return spawnSync('ps', ['-Ao', 'args'], { encoding: 'utf8' }).stdout.split('\n');
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return ''; // it has ended meanwhile
    }
  });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!condition() && Date.now() < deadline) await sleep(10);
}
