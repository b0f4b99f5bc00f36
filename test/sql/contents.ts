// All that a database holds of pgmill, to show that something changed nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { TestDatabase } from '../postgres/database.js';

/** Every row of every table of pgmill as text, with its table's name in front. */
export async function contents(db: TestDatabase): Promise<string[]> {
  const tables = await db.sql<{ name: string }>(
    `select c.relname::text as name from pg_class c
     where c.relnamespace = 'pgmill'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`,
  );
  const selects = tables.map(({ name }) => `select '${name} ' || x::text as row from pgmill.${name} x`);
  const slot = `select 'slot ' || last_value from pgmill.ready_slot`;
  const rows = await db.sql<{ row: string }>(`${[...selects, slot].join(' union all ')} order by 1`);
  return rows.map(({ row }) => row);
}

/** Asserts that the database holds what it held before. */
export async function unchanged(t: Test, db: TestDatabase, before: string[], message: string): Promise<void> {
  t.same(await contents(db), before, message);
}

/** Every row of a room, by id; all columns. */
export async function room(db: TestDatabase, name: string): Promise<Record<string, unknown>[]> {
  const rows = await db.sql(`select to_jsonb(x) as row from pgmill.${name} x order by x.id`);
  return rows.map(({ row }) => row);
}

/** Asserts that there are as many rows as patterns, and that each row has what its pattern says (t.match lets more rows pass). */
export function matches(t: Test, rows: unknown[], patterns: unknown[], message = ''): void {
  t.equal(rows.length, patterns.length, `${message} (how many)`);
  t.match(rows, patterns, message);
}

/** Waits, without a fixed time, until something holds. */
export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(2)) if (await holds()) return;
  throw new Error(`It never came about that ${what}.`);
}
