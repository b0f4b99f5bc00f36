// What the tests of schedules share. The schedules come due once a year or once an hour, so that no test runs into a tick.
import type pg from 'pg';
import type { TestDatabase } from '../postgres/database.js';
import { value } from './rooms.js';

/** Adds or changes a schedule with cron_upsert's parameters, given as SQL. */
export function upsert(on: TestDatabase | pg.Client, args: string): Promise<Date> {
  return value(on, `select pgmill.cron_upsert(${args})`);
}

/** Makes the schedule's next tick lie so many years back: with `0 0 1 1 *`, `years + 1` ticks are due. */
export async function due(db: TestDatabase, name: string, years = 0): Promise<void> {
  await db.sql(
    `update pgmill.cron c
     set next_tick = (date_trunc('year', clock_timestamp() at time zone 'UTC') - make_interval(years => $2)) at time zone 'UTC'
     where c.name = $1`,
    [name, years],
  );
}

/** Fires what is due; the number of jobs added. */
export async function fire(on: TestDatabase | pg.Client): Promise<number> {
  return Number(await value(on, 'select pgmill.fire_due_crons()'));
}

export interface Job {
  id: string;
  name: string;
  state: string;
  cron: string;
  year: number | null;
}

/** The jobs of a schedule in the order of their ticks, with the year of the tick. */
export function jobsOf(db: TestDatabase, name: string): Promise<Job[]> {
  return db.sql(
    `select j.id, j.name, j.state, j.cron, extract(year from j.cron_tick at time zone 'UTC')::int as year
     from pgmill.job j where j.cron = $1 order by j.cron_tick, j.id`,
    [name],
  );
}

/** The years of the ticks for which there is a job. */
export async function yearsOf(db: TestDatabase, name: string): Promise<(number | null)[]> {
  return (await jobsOf(db, name)).map(({ year }) => year);
}

// biome-ignore lint/suspicious/noExplicitAny: tests read columns by name
export async function find(db: TestDatabase, name: string): Promise<any> {
  return (await db.sql('select * from pgmill.find_crons() f where f.name = $1', [name]))[0];
}

/** Claims and completes every ready job of the schedule. */
export async function complete(db: TestDatabase, name: string): Promise<number> {
  const done = await db.sql(
    `select c.* from pgmill.get_jobs('tester', 1000, names => array(select distinct j.name from pgmill.job j where j.cron = $1)) j,
       pgmill.complete_jobs(array[j.id], array[j.token]) c`,
    [name],
  );
  return done.length;
}

export async function forget(db: TestDatabase): Promise<void> {
  await db.sql(
    'truncate pgmill.cron, pgmill.cron_tick, pgmill.waiting, pgmill.ready, pgmill.running, pgmill.finished, pgmill.payload, pgmill.job_key',
  );
}
