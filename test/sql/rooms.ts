// What the tests of admin and observer functions share: a look at all rooms, and clients that wait for each other.
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Test } from 'tap';
import type { TestDatabase } from '../postgres/database.js';

/** Every job as text, by id: all that is known of it, and who holds which key under the key null. */
export type Rooms = Map<string | null, string>;

export async function rooms(db: TestDatabase): Promise<Rooms> {
  const jobs = await db.sql<{ id: string; job: string }>(`select j.id, j::text as job from pgmill.job j order by j.id`);
  const [keys] = await db.sql<{ keys: string }>(
    `select coalesce(string_agg(k::text, ' ' order by k.queue, k.unique_key), '') as keys from pgmill.job_key k`,
  );
  return new Map([...jobs.map(({ id, job }) => [id, job] as const), [null, keys?.keys ?? '']]);
}

/** Asserts that exactly these jobs (or keys: null) differ from what they were. */
export async function changed(t: Test, db: TestDatabase, before: Rooms, ids: (string | null)[], message: string) {
  const after = await rooms(db);
  const all = new Set([...before.keys(), ...after.keys()]);
  const differ = [...all].filter((id) => before.get(id) !== after.get(id));
  t.same(differ.sort(), [...ids].sort(), message);
}

/** Asserts that each call is refused as an invalid argument, with a cure, and that nothing changes. */
export async function refused(t: Test, db: TestDatabase, calls: string[]): Promise<void> {
  const before = await rooms(db);
  for (const call of calls) {
    await t.rejects(db.sql(`select * from pgmill.${call}`), { code: 'PM001', hint: /\w/ }, call);
  }
  await changed(t, db, before, [], 'and nothing has changed');
}

export async function empty(db: TestDatabase): Promise<void> {
  await db.sql(
    'truncate pgmill.waiting, pgmill.ready, pgmill.running, pgmill.finished, pgmill.payload, pgmill.job_key',
  );
}

/** The first column of the first row. */
// biome-ignore lint/suspicious/noExplicitAny: whatever the column holds
export async function value(on: TestDatabase | pg.Client, text: string, params: unknown[] = []): Promise<any> {
  const rows = 'sql' in on ? await on.sql(text, params) : (await on.query(text, params)).rows;
  return Object.values(rows[0] ?? {})[0];
}

/** Adds a job with add_job's parameters, given as SQL; returns its id. */
export function add(db: TestDatabase, args = `'work'`): Promise<string> {
  return value(db, `select pgmill.add_job(${args})`);
}

export interface Lease {
  id: string;
  token: string;
}

/** Claims every ready job of the queue; in the order of the ids. */
export async function claim(on: TestDatabase | pg.Client, queue = 'default'): Promise<Lease[]> {
  const text = `select id, token from pgmill.get_jobs('tester', 1000, queues => array[$1]) order by id`;
  return 'sql' in on ? on.sql<Lease>(text, [queue]) : (await on.query<Lease>(text, [queue])).rows;
}

/** Adds a job and claims it. */
export async function run(db: TestDatabase, args?: string, queue?: string): Promise<Lease> {
  const id = await add(db, args);
  const lease = (await claim(db, queue)).find((each) => each.id === id);
  if (!lease) throw new Error('the new job was not claimed');
  return lease;
}

/** Adds a job that ends as failed; returns its id. */
export async function failed(db: TestDatabase, args?: string, queue?: string): Promise<string> {
  const { id, token } = await run(db, args, queue);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', final => true)`, [id, token]);
  return id;
}

/** Waits until the client waits for a lock that another transaction holds. */
export async function blocked(db: TestDatabase, client: pg.Client): Promise<void> {
  const pid = (client as unknown as { processID: number }).processID;
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(2)) {
    if (await value(db, 'select cardinality(pg_blocking_pids($1)) > 0', [pid])) return;
  }
  throw new Error('the client was not blocked');
}

/** Runs the statement on a second client, and waits until it is blocked: the first one has not committed. */
export async function whileBlocked<Row extends pg.QueryResultRow>(
  db: TestDatabase,
  second: pg.Client,
  text: string,
  params: unknown[] = [],
): Promise<{ result: Promise<Row[]> }> {
  const result = second.query<Row>(text, params).then(({ rows }) => rows);
  result.catch(() => {}); // it is looked at when the first client has committed
  await Promise.race([blocked(db, second), result.then(() => Promise.reject(new Error('it did not wait')))]);
  return { result };
}
