// Starts a real PostgreSQL with nothing installed but this project's node_modules, and leaves nothing behind.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { environment, findBinaries } from './binaries.js';

export interface PostgresOptions {
  /** Major version, 14 to 18. @default TEST_POSTGRES_VERSION, or the one in node_modules, 18 */
  version?: number | undefined;
  /** Lines of postgresql.conf. @default none: PostgreSQL's own defaults, safe ones */
  settings?: Record<string, string | number | boolean>;
}

/** How a server is stopped: `fast` ends its connections, `immediate` is a crash. */
export type StopMode = 'fast' | 'immediate';

export interface Postgres {
  /** For the superuser `postgres`, database `postgres`, over TCP. */
  readonly connectionString: string;
  readonly port: number;
  readonly password: string;
  readonly version: number;
  /** The directory of the unix socket. */
  readonly socketDirectory: string;
  readonly dataDirectory: string;
  /** The server's process; undefined while it is down. */
  readonly pid: number | undefined;
  /** A connection string for another database or user of this server. */
  url(database: string, user?: string, password?: string): string;
  /** Stops the server and keeps its data, until up(). */
  down(mode?: StopMode): Promise<void>;
  /** Starts it again, on the same port. */
  up(): Promise<void>;
  restart(mode?: StopMode): Promise<void>;
  /** Stops the server and removes everything. */
  stop(): Promise<void>;
}

/** For tests: nothing has to survive a power cut. */
export const fastSettings = { fsync: false, synchronous_commit: false, full_page_writes: false, max_connections: 300 };

/** Whom to run PostgreSQL as. It refuses root, so root runs it as nobody. */
export interface Identity {
  uid?: number;
  gid?: number;
}

const nobody: Identity = { uid: 65534, gid: 65534 };
const running = new Set<Server>();

export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const server = new Server();
  try {
    await server.create(options);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

class Server implements Postgres {
  readonly password = randomBytes(12).toString('hex');
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  port = 0;
  version = 0;
  readonly #as: Identity = process.getuid?.() === 0 ? nobody : {};
  readonly #folder: string;
  readonly #watchdog: ChildProcess;
  #bin = '';
  #postgres: ChildProcess | undefined;
  #stopped: Promise<void> | undefined;

  constructor() {
    this.#folder = path.join(temporaryDirectory(this.#as), `pgmill-${randomBytes(6).toString('hex')}`);
    this.#watchdog = startWatchdog(this.#folder); // before there is a folder: a crash in between leaves nothing
    mkdirSync(this.#folder, { mode: 0o700 });
    own(this.#folder, this.#as);
    this.dataDirectory = path.join(this.#folder, 'data');
    this.socketDirectory = path.join(this.#folder, 'socket');
    running.add(this);
  }

  get pid(): number | undefined {
    return this.#postgres?.pid;
  }

  get connectionString(): string {
    return this.url('postgres');
  }

  url(database: string, user = 'postgres', password = this.password): string {
    const [name, secret] = [user, password].map(encodeURIComponent);
    return `postgresql://${name}:${secret}@127.0.0.1:${this.port}/${encodeURIComponent(database)}`;
  }

  async create({ version = versionWanted(), settings = {} }: PostgresOptions): Promise<void> {
    const binaries = findBinaries(version, this.#folder, this.#as);
    this.#bin = binaries.bin;
    this.version = binaries.version;
    await this.#initdb();
    const lines = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.#socket(),
      ...settings,
    };
    const text = Object.entries(lines).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`);
    appendFileSync(path.join(this.dataDirectory, 'postgresql.conf'), text.join(''));
    for (let left = 5; ; left--) {
      this.port = await freePort();
      try {
        return await this.up();
      } catch (error) {
        if (left === 0 || !/Address already in use/.test(String(error))) throw error;
      }
    }
  }

  async up(): Promise<void> {
    const log = path.join(this.#folder, 'log');
    rmSync(log, { force: true });
    const postgres = this.#spawn('postgres', ['-D', this.dataDirectory, '-p', String(this.port)], log, 'SIGQUIT');
    this.#postgres = postgres;
    postgres.unref();
    postgres.once('exit', () => {
      if (this.#postgres === postgres) this.#postgres = undefined;
    });
    const deadline = Date.now() + 60_000;
    while (!this.#ready()) {
      if (this.#postgres !== postgres) throw new Error(`PostgreSQL did not start:\n${readText(log)}`);
      if (Date.now() > deadline) throw new Error(`PostgreSQL was not ready within a minute:\n${readText(log)}`);
      await sleep(5);
    }
  }

  async down(mode: StopMode = 'fast'): Promise<void> {
    const postgres = this.#postgres;
    if (!postgres) return;
    postgres.ref();
    const exited = once(postgres, 'exit');
    postgres.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    const late = setTimeout(() => postgres.kill('SIGQUIT'), 20_000);
    await exited;
    clearTimeout(late);
  }

  async restart(mode?: StopMode): Promise<void> {
    await this.down(mode);
    await this.up();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await this.down();
    if (this.#watchdog.exitCode === null && this.#watchdog.signalCode === null) {
      this.#watchdog.ref();
      const exited = once(this.#watchdog, 'exit');
      this.#watchdog.stdin?.end();
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    running.delete(this);
  }

  /** For process.exit and an uncaught error: has the watchdog clean up, and waits for it. */
  stopNow(): void {
    this.#watchdog.stdin?.destroy();
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let waited = 0; existsSync(this.#folder) && waited < 30_000; waited += 5) Atomics.wait(clock, 0, 0, 5);
  }

  async #initdb(): Promise<void> {
    const secret = path.join(this.#folder, 'password');
    const log = path.join(this.#folder, 'initdb.log');
    writeFileSync(secret, this.password);
    mkdirSync(this.socketDirectory);
    for (const file of [secret, this.socketDirectory]) own(file, this.#as);
    // SIGCONT, which changes nothing: it ends within a second, and halfway it would leave a shared memory segment.
    const args = ['-D', this.dataDirectory, '-U', 'postgres', '--encoding=UTF8', '--no-locale', '--no-sync'];
    const initdb = this.#spawn('initdb', [...args, '-A', 'scram-sha-256', `--pwfile=${secret}`], log, 'SIGCONT');
    const [code, signal] = await once(initdb, 'exit');
    if (code !== 0) throw new Error(`initdb ended with ${code ?? signal}:\n${readText(log)}`);
  }

  /** A unix socket's path has at most 107 characters (103 on some systems). */
  #socket(): string {
    return this.socketDirectory.length + '/.s.PGSQL.65535'.length <= 100 ? this.socketDirectory : '';
  }

  #ready(): boolean {
    const lines = readText(path.join(this.dataDirectory, 'postmaster.pid')).split('\n');
    return lines[0] === String(this.pid) && lines[7]?.trim() === 'ready';
  }

  #spawn(program: string, args: string[], log: string, signal: NodeJS.Signals): ChildProcess {
    const output = openSync(log, 'a');
    // A process group of its own, so that Ctrl-C reaches us and not the server.
    const child = spawn(path.join(this.#bin, program), args, {
      ...this.#as,
      cwd: this.#folder,
      env: environment,
      detached: true,
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    if (child.pid !== undefined) this.#watchdog.stdin?.write(`start ${child.pid} ${signal}\n`);
    child.once('exit', () => this.#watchdog.stdin?.write(`end ${child.pid}\n`));
    return child;
  }
}

process.on('exit', () => {
  for (const server of running) server.stopNow();
});

function startWatchdog(folder: string): ChildProcess {
  const script = fileURLToPath(new URL('./watchdog.mjs', import.meta.url));
  const stdio = ['pipe', 'ignore', 'ignore'] as const;
  const watchdog = spawn(process.execPath, [script, folder], { cwd: '/', detached: true, stdio: [...stdio] });
  watchdog.unref();
  watchdog.stdin?.on('error', () => {}); // it is gone; stop() and up() still work without it
  (watchdog.stdin as unknown as { unref(): void }).unref();
  return watchdog;
}

/** A directory for temporary files that the user PostgreSQL runs as can reach. */
function temporaryDirectory(as: Identity): string {
  const parents = [...new Set([tmpdir(), '/tmp'])];
  if (as.uid === undefined) return tmpdir();
  for (const parent of parents) {
    const { status, error } = spawnSync('/bin/sh', ['-c', 'cd "$0"', parent], { ...as, cwd: '/' });
    if (status === 0) return parent;
    if (error) {
      throw new Error(`PostgreSQL refuses to run as root, and root cannot start it as user ${as.uid} here`, {
        cause: error,
      });
    }
  }
  throw new Error(`User ${as.uid}, whom root runs PostgreSQL as, can reach neither ${parents.join(' nor ')}`);
}

function versionWanted(): number | undefined {
  return Number(process.env['TEST_POSTGRES_VERSION']) || undefined;
}

function own(file: string, { uid, gid }: Identity): void {
  if (uid !== undefined && gid !== undefined) chownSync(file, uid, gid);
}

function readText(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  await once(server.close(), 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}
