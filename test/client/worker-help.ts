// What the worker's tests share.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { PgMill } from '../../client/index.js';
import type { Worker } from '../../client/worker/index.js';
import { testDatabase } from '../postgres/database.js';

/** A database, a client, and a way to make workers that are stopped with the test. */
export async function open(t: Test) {
  const database = await testDatabase(t);
  const mill = new PgMill({ pool: database.pool });
  t.teardown(() => mill.close());
  const worker = (options: Parameters<typeof mill.worker>[0]): Worker => {
    const made = mill.worker({ stopTimeout: 1000, ...options });
    t.teardown(() => made.stop());
    return made;
  };
  /** How many jobs are in each state, the states without any left out. */
  const states = async (): Promise<Record<string, number>> => {
    const rows = await database.sql('select state, count(*)::int as jobs from pgmill.job group by state');
    return Object.fromEntries(rows.map(({ state, jobs }) => [state, jobs]));
  };
  const state = async (id: string) => (await mill.findJob(id))?.state;
  return { ...database, mill, worker, states, state };
}

/** Waits for a condition, not for a time; says which one when it does not come. */
export async function until<Value>(
  what: string,
  condition: () => Value | Promise<Value>,
  patience = 20_000,
): Promise<Exclude<Value, false | undefined | null>> {
  const end = performance.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<Value, false | undefined | null>;
    if (performance.now() > end) throw new Error(`This did not come within ${patience} ms: ${what}`);
    await sleep(5);
  }
}

/** A promise, and how to resolve it. */
export function gate<Value = void>() {
  let open: (value: Value) => void = () => {};
  const opened = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** The next event of that name. */
export async function next<Name extends keyof Events>(worker: Worker, name: Name): Promise<Events[Name]> {
  return new Promise((resolve) => {
    worker.once(name as 'idle', (...args: unknown[]) => resolve(args as Events[Name]));
  });
}

type Events = import('../../client/worker/index.js').WorkerEvents;

/** The wake locks, in pg_locks. */
export const wakeLocks = `locktype = 'advisory' and objsubid = 2
  and database = (select oid from pg_database where datname = current_database())`;

/** Resolves when the worker holds the wake locks of its queues: from then on adders notify. */
export async function asleep(sql: (text: string) => Promise<{ n: number }[]>, workers = 1) {
  await until('the worker sleeps', async () => {
    const [row] = await sql(
      `select count(distinct pid)::int as n from pg_locks where ${wakeLocks} and mode = 'ExclusiveLock'`,
    );
    return row !== undefined && row.n >= workers;
  });
}
