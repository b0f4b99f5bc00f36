import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { changed, empty, refused, rooms, run, value } from './rooms.js';

const db = await testDatabase(t);
t.beforeEach(() => empty(db));

const average = (args: string): Promise<string | null> =>
  value(db, `select pgmill.average_time_to_completion(${args})::text`);

/** A job that ended then, so long after its run_at. */
async function ended(name: string, at: string, took: string, state = 'completed'): Promise<void> {
  const { id, token } = await run(db, `'${name}'`);
  const end = state === 'completed' ? 'complete_job($1, $2)' : `fail_job($1, $2, 'x', final => true)`;
  await db.sql(`select pgmill.${end}`, [id, token]);
  await db.sql(
    'update pgmill.finished set finished_at = $2::timestamptz, run_at = $2::timestamptz - $3::interval where id = $1',
    [id, at, took],
  );
}
const day = `'2026-01-02Z', '2026-01-03Z'`;

t.test('averages over the jobs that completed from then on and before then', async (t) => {
  await ended('a', '2026-01-01 23:59:59.999999Z', '1 year');
  await ended('a', '2026-01-02 00:00Z', '10 s');
  await ended('b', '2026-01-02 12:00Z', '1 day');
  await ended('a', '2026-01-02 23:59:59.999999Z', '20 s');
  await ended('a', '2026-01-03 00:00Z', '1 year');
  await ended('a', '2026-01-02 12:00Z', '1 year', 'failed');
  const before = await rooms(db);
  t.equal(await average(day), '08:00:10');
  t.equal(await average(`${day}, '{a}'`), '00:00:15');
  t.equal(await average(`${day}, '{b}'`), '1 day');
  t.equal(await average(`${day}, '{a,b,c}'`), '08:00:10');
  t.equal(await average(`"from" => '2026-01-02Z', "to" => '2026-01-03Z', names => '{b}'`), '1 day');
  await changed(t, db, before, [], 'it changes nothing');
});

t.test('null when none completed', async (t) => {
  await ended('a', '2026-01-02 12:00Z', '10 s');
  t.equal(await average(`'2026-01-03Z', '2026-01-04Z'`), null);
  t.equal(await average(`'2026-01-02 12:00Z', '2026-01-02 12:00Z'`), null, 'an empty range');
  t.equal(await average(`${day}, '{}'`), null, 'an empty list matches nothing');
  t.equal(await average(`${day}, '{b}'`), null);
});

t.test('counts over several days, those in partitions and others', async (t) => {
  const now = (await value(db, 'select now()')) as Date;
  await ended('a', now.toISOString(), '10 s');
  await ended('a', '2026-01-02Z', '20 s');
  t.equal(await average(`'2026-01-01Z', '2100-01-01Z'`), '00:00:15');
});

t.test('refuses each argument that makes no sense', async (t) => {
  await ended('a', '2026-01-02Z', '20 s');
  await refused(t, db, [
    `average_time_to_completion(null, '2026-01-01')`,
    `average_time_to_completion('2026-01-01', null)`,
    `average_time_to_completion('-infinity', '2026-01-01')`,
    `average_time_to_completion('2026-01-01', 'infinity')`,
    `average_time_to_completion('infinity', 'infinity')`,
    `average_time_to_completion('2026-01-02', '2026-01-01')`,
    `average_time_to_completion(${day}, '{a,null}')`,
  ]);
});

t.test('an observer may use it', async (t) => {
  await ended('a', '2026-01-02Z', '20 s');
  const client = await db.client();
  await client.query('set role pgmill_observer');
  t.match(await value(client, `select pgmill.average_time_to_completion(${day})::text`), '00:00:20');
});
