// What the rows work with: a server, databases, and processes that add jobs or work on them.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Postgres, startPostgres } from '../test/postgres/start.js';
import type { Methods } from './agent.js';
import { serverCpu, settings } from './machine.js';
import { loadSystem, type System, type SystemName, systemNames } from './systems/system.js';

/** How much is measured. */
export interface Sizes {
  quick: boolean;
  repeats: number;
}

/** No call to a process takes longer, in milliseconds. */
const patience = 660_000;

export class Bench {
  readonly sizes: Sizes;
  readonly #postgres: Postgres;
  readonly #admin: pg.Client;
  readonly #systems: Record<SystemName, System>;
  #databases = 0;

  private constructor(sizes: Sizes, postgres: Postgres, admin: pg.Client, systems: Record<SystemName, System>) {
    this.sizes = sizes;
    this.#postgres = postgres;
    this.#admin = admin;
    this.#systems = systems;
  }

  static async start(sizes: Sizes): Promise<Bench> {
    const postgres = await startPostgres({ version: 18, settings });
    const admin = new pg.Client({ connectionString: postgres.connectionString });
    try {
      await admin.connect();
      const loaded = await Promise.all(systemNames.map(async (name) => [name, await loadSystem(name)] as const));
      for (const [name, system] of loaded) {
        await admin.query(`create database template_${name}`);
        await system.install(postgres.url(`template_${name}`));
      }
      return new Bench(sizes, postgres, admin, Object.fromEntries(loaded) as Record<SystemName, System>);
    } catch (error) {
      await admin.end();
      await postgres.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#admin.end();
    await this.#postgres.stop();
  }

  get admin(): pg.Client {
    return this.#admin;
  }

  get dataDirectory(): string {
    return this.#postgres.dataDirectory;
  }

  /** Runs it with a database of its own, in which the system is installed. */
  async with<Result>(name: SystemName, run: (run: Run) => Promise<Result>): Promise<Result> {
    const database = `run_${++this.#databases}`;
    // What earlier runs left to write must not burden this one.
    await this.#admin.query('checkpoint');
    await this.#admin.query(`create database ${database} template template_${name}`);
    const current = await Run.open(name, this.#systems[name], this.#postgres, database);
    try {
      return await run(current);
    } finally {
      await current.close();
      await this.#admin.query(`drop database ${database} with (force)`);
    }
  }

  /**
   * Measures each of them as often as the sizes say, taking turns (A B C, A B C, …), so that what else the machine
   * does burdens all alike.
   */
  async inTurns<Key extends string, Result>(
    keys: readonly Key[],
    measure: (key: Key) => Promise<Result>,
    repeats = this.sizes.repeats,
  ): Promise<Record<Key, Result[]>> {
    const results = Object.fromEntries(keys.map((key) => [key, []])) as unknown as Record<Key, Result[]>;
    for (let n = 0; n < repeats; n++) for (const key of keys) results[key].push(await measure(key));
    return results;
  }
}

/** One run: a database, and the processes that use it. */
export class Run {
  readonly name: SystemName;
  readonly url: string;
  readonly sql: pg.Client;
  readonly #system: System;
  readonly #postgres: Postgres;
  readonly #agents: Agent[] = [];
  /** Beside the measured jobs. */
  #warm = 0;

  private constructor(name: SystemName, system: System, postgres: Postgres, url: string, sql: pg.Client) {
    this.name = name;
    this.url = url;
    this.sql = sql;
    this.#system = system;
    this.#postgres = postgres;
  }

  static async open(name: SystemName, system: System, postgres: Postgres, database: string): Promise<Run> {
    const url = postgres.url(database);
    const sql = new pg.Client({ connectionString: url });
    sql.on('error', () => {}); // the server is being stopped, because something failed
    await sql.connect();
    return new Run(name, system, postgres, url, sql);
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.end();
    await this.sql.end();
  }

  /** A process that has this run's database open. */
  async agent(): Promise<Agent> {
    const agent = new Agent();
    for (const other of this.#agents) agent.follow(other);
    this.#agents.push(agent);
    await agent.call('open', this.name, this.url);
    return agent;
  }

  /** A process that adds jobs. The first ones, which start statements and compilers, are not measured. */
  async producer(connections = 1, notify = false): Promise<Agent> {
    const agent = await this.agent();
    await agent.call('produce', connections, notify);
    return agent;
  }

  /** Has the producer add jobs and the worker do them, unmeasured. */
  async warmUp(producer: Agent, worker: Agent, variant: Parameters<Methods['work']>[0], jobs: number): Promise<void> {
    await producer.call('addMany', jobs, 1000);
    await worker.call('work', variant, { jobs, settle: true });
    await worker.call('worked', patience);
    await worker.call('stop');
    this.#warm += jobs;
  }

  /** Throws unless all those jobs were done, by the database's count, and nothing but `left` is left. */
  async check(jobs: number, { left = 0, forgotten = false } = {}): Promise<void> {
    const { rows } = await this.sql.query(this.#system.counts);
    const { unsettled, failed, done } = rows[0] as { unsettled: number; failed: number; done: number | null };
    // Systems that delete a job when it is done have only `left` to count.
    const expected = done === null ? null : forgotten ? 0 : jobs + this.#warm;
    if (failed > 0 || unsettled !== left || done !== expected) {
      throw new Error(
        `${this.name}: ${expected} jobs were to be done and ${left} left; ${done} are done, ${unsettled} left, ${failed} failed`,
      );
    }
  }

  /** CPU of the server in milliseconds, and where its log is. */
  async spent(): Promise<{ cpu: number; wal: bigint }> {
    const { rows } = await this.sql.query(`select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as wal`);
    return { cpu: serverCpu(this.#postgres.pid), wal: BigInt(rows[0].wal) };
  }
}

/** Our end of an agent process. */
export class Agent {
  readonly #process: ChildProcess;
  readonly #calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #followers: Agent[] = [];
  #id = 0;

  constructor() {
    const script = fileURLToPath(new URL('./dist/bench/agent.js', import.meta.url));
    this.#process = fork(script, {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#process.on('message', (message: { id: number; result: unknown; error?: string } | { done: number }) => {
      if ('done' in message) {
        for (const each of this.#followers) each.#send({ progress: message.done });
        return;
      }
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.error === undefined) call?.resolve(message.result);
      else call?.reject(new Error(message.error));
    });
    void once(this.#process, 'exit').then(() => {
      for (const { reject } of this.#calls.values()) reject(new Error('The process ended.'));
      this.#calls.clear();
    });
  }

  /** Is told how many jobs the other one has done. */
  follow(other: Agent): void {
    other.#followers.push(this);
    this.#followers.push(other);
  }

  async call<Name extends keyof Methods>(
    method: Name,
    ...args: Parameters<Methods[Name]>
  ): Promise<Awaited<ReturnType<Methods[Name]>>> {
    const id = ++this.#id;
    let late: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Awaited<ReturnType<Methods[Name]>>>((resolve, reject) => {
        this.#calls.set(id, { resolve: resolve as (value: unknown) => void, reject });
        late = setTimeout(() => reject(new Error(`${method} took longer than ${patience} ms`)), patience);
        this.#send({ id, method, args });
      });
    } finally {
      clearTimeout(late);
    }
  }

  #send(message: object): void {
    if (this.#process.connected) this.#process.send(message);
  }

  end(): void {
    if (this.#process.connected) this.#process.disconnect();
    this.#process.kill('SIGKILL');
  }
}
