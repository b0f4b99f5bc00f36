// Ticks become jobs: fire_due_crons and what it calls, the policies, and two sessions at once.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { complete, due, find, fire, forget, jobsOf, upsert, yearsOf } from './cron_help.js';
import { value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
const year = new Date().getUTCFullYear();
const yearly = `'0 0 1 1 *'`;

t.afterEach(() => forget(db));

t.test('tick() adds one job for a tick that is due, and reports it', async (t) => {
  await upsert(
    db,
    `'report', ${yearly}, job_name => 'make', payload => '{"a": 1}', queue => 'slow', max_attempts => 7,
    timeout => '9 s', retry_base => '2 s', retry_max => '3 s'`,
  );
  await upsert(db, `'other', ${yearly}`);
  await due(db, 'report');
  t.same(
    (await db.sql('select * from pgmill.tick()')).filter(({ task }) => task === 'cron'),
    [{ task: 'cron', changed: '1' }],
  );
  const [job, ...more] = await db.sql(
    'select *, timeout::text, retry_base::text, retry_max::text, cron_tick::text from pgmill.job',
  );
  t.match(job, {
    name: 'make',
    queue: 'slow',
    payload: { a: 1 },
    priority: 4,
    max_attempts: 7,
    attempts: 0,
    state: 'ready',
    cron: 'report',
  });
  t.match(job, { timeout: '00:00:09', retry_base: '00:00:02', retry_max: '00:00:03', unique_key: null });
  t.same(more, []);
  t.ok(Math.abs(job.run_at - Date.now()) < 60_000, 'it may run now');
  t.same(await yearsOf(db, 'report'), [year]);
  t.equal((await find(db, 'report')).next_tick.toISOString(), `${year + 1}-01-01T00:00:00.000Z`);
  t.same(
    (await db.sql('select * from pgmill.tick()')).filter(({ task }) => task === 'cron'),
    [],
    'and nothing the next time',
  );
});

t.test('adds nothing before the tick, nor for a paused schedule', async (t) => {
  await upsert(db, `'early', ${yearly}`);
  await upsert(db, `'paused', ${yearly}`);
  await due(db, 'paused');
  await db.sql(`select pgmill.cron_pause('paused')`);
  t.equal(await fire(db), 0);
  t.same(await db.sql('select * from pgmill.job'), []);
});

t.test('missed once: one job for all that was missed, for the latest tick', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report', 30);
  t.equal(await fire(db), 1);
  t.same(await yearsOf(db, 'report'), [year]);
  t.equal((await find(db, 'report')).next_tick.getUTCFullYear(), year + 1);
});

t.test('missed once finds the latest tick of years of seconds in a moment', async (t) => {
  await upsert(db, `'seconds', '* * 3 * * *'`);
  await db.sql(`update pgmill.cron set next_tick = '2001-01-01 03:00:00Z'`);
  const start = Date.now();
  t.equal(await fire(db), 1);
  t.ok(Date.now() - start < 5_000);
  const [row] = await db.sql(`select cron_tick <= now() and cron_tick > now() - interval '1 day' as latest,
    pgmill.cron_next('* * 3 * * *', cron_tick) = c.next_tick as no_tick_between from pgmill.job j join pgmill.cron c on c.name = j.cron`);
  t.match(row, { latest: true, no_tick_between: true });
});

t.test('missed skip: none for a tick more than a minute ago, and it is recorded', async (t) => {
  await upsert(db, `'report', ${yearly}, missed => 'skip'`);
  await due(db, 'report', 2);
  t.equal(await fire(db), 0);
  t.same(await jobsOf(db, 'report'), []);
  t.match(await find(db, 'report'), { skipped: 'missed', error: null });
  t.equal((await find(db, 'report')).next_tick.getUTCFullYear(), year + 1);

  await upsert(db, `'seconds', '* * * * * *', missed => 'skip'`);
  await db.sql(
    `update pgmill.cron c set next_tick = date_trunc('second', clock_timestamp()) - interval '20 s' where c.name = 'seconds'`,
  );
  t.equal(await fire(db), 1, 'the latest tick is not a minute old');
});

t.test('missed all: one job for each', async (t) => {
  await upsert(db, `'report', ${yearly}, missed => 'all', overlap => true`);
  await due(db, 'report', 3);
  t.equal(await fire(db), 4);
  t.same(await yearsOf(db, 'report'), [year - 3, year - 2, year - 1, year]);
  t.equal(await fire(db), 0);
});

t.test('missed all is bounded: after 1000 ticks, one for the rest', async (t) => {
  await upsert(db, `'seconds', '* * * * * *', missed => 'all', overlap => true`);
  await db.sql(`update pgmill.cron set next_tick = date_trunc('second', clock_timestamp()) - interval '1 hour'`);
  t.equal(await fire(db), 1001);
  const [row] =
    await db.sql(`select count(distinct cron_tick)::int as ticks, max(cron_tick) - min(cron_tick) >= interval '1 hour' as latest,
    (select min(next_tick) from pgmill.cron) > max(cron_tick) as on from pgmill.job`);
  t.match(row, { ticks: 1001, latest: true, on: true });
});

t.test(
  'without overlap, a tick is passed over and recorded while an earlier job lives, in whichever room',
  async (t) => {
    for (const [state, sql] of [
      ['ready', `select 1`],
      ['running', `select * from pgmill.get_jobs('w', 10)`],
      ['scheduled', `select f.* from pgmill.get_jobs('w', 10) j, pgmill.fail_job(j.id, j.token, 'no luck') f`],
    ] as const) {
      await upsert(db, `'report', ${yearly}`);
      await due(db, 'report', 1);
      t.equal(await fire(db), 1);
      await db.sql(sql);
      t.equal((await jobsOf(db, 'report'))[0]?.state, state);
      await db.sql(`update pgmill.cron_tick set tick = tick - interval '1 year'`);
      await due(db, 'report');
      t.equal(await fire(db), 0, state);
      t.match(await find(db, 'report'), { skipped: 'overlap', error: null });
      t.equal((await find(db, 'report')).next_tick.getUTCFullYear(), year + 1);
      await forget(db);
    }
  },
);

t.test('without overlap, the next tick is fired once the job has ended, well or not', async (t) => {
  for (const end of [
    `select c.* from pgmill.get_jobs('w', 10) j, pgmill.complete_jobs(array[j.id], array[j.token]) c`,
    `select f.* from pgmill.get_jobs('w', 10) j, pgmill.fail_job(j.id, j.token, 'no luck', final => true) f`,
    `select pgmill.cancel_job(j.id) from pgmill.job j`,
  ]) {
    await upsert(db, `'report', ${yearly}`);
    await due(db, 'report');
    await fire(db);
    await db.sql(end);
    await db.sql(`update pgmill.cron_tick set tick = tick - interval '1 year'`);
    await due(db, 'report');
    t.equal(await fire(db), 1, end);
    await forget(db);
  }
});

t.test('with overlap, a job is added whatever the earlier ones do', async (t) => {
  await upsert(db, `'report', ${yearly}, overlap => true`);
  await due(db, 'report');
  await fire(db);
  await db.sql(`update pgmill.cron_tick set tick = tick - interval '1 year'`);
  await due(db, 'report');
  t.equal(await fire(db), 1);
  t.equal((await jobsOf(db, 'report')).length, 2);
});

t.test('missed all without overlap: every tick has its job, one after the other', async (t) => {
  await upsert(db, `'report', ${yearly}, missed => 'all'`);
  await due(db, 'report', 2);
  t.equal(await fire(db), 1);
  t.equal(await fire(db), 0, 'it waits for the first');
  t.same(await yearsOf(db, 'report'), [year - 2]);
  t.match(await find(db, 'report'), { skipped: null });
  for (const expected of [1, 1, 0]) {
    t.equal(await complete(db, 'report'), 1);
    t.equal(await fire(db), expected);
  }
  t.same(await yearsOf(db, 'report'), [year - 2, year - 1, year]);
});

t.test('an interval: the first job at once, then the last tick and the interval', async (t) => {
  await upsert(db, `'poll', every => '1 hour'`);
  t.equal(await fire(db), 1);
  t.equal(await fire(db), 0);
  const [row] = await db.sql(
    `select next_tick - last_tick = '1 hour' as hour, last_tick > now() - interval '1 minute' as now from pgmill.cron`,
  );
  t.match(row, { hour: true, now: true });
  await complete(db, 'poll');
  await db.sql(`update pgmill.cron set next_tick = now() - interval '10 minutes'`);
  t.equal(await fire(db), 1);
  const [late] = await db.sql(`select next_tick - last_tick = '1 hour' as hour from pgmill.cron`);
  t.match(late, { hour: true }, 'from the tick, not from when it was fired');
});

t.test('an interval whose next tick is past too goes on from now', async (t) => {
  await upsert(db, `'poll', every => '1 hour'`);
  await db.sql(`update pgmill.cron set next_tick = now() - interval '10 hours'`);
  t.equal(await fire(db), 1);
  const [row] = await db.sql(
    `select next_tick - now() between '59 minutes' and '1 hour 1 minute' as from_now from pgmill.cron`,
  );
  t.ok(row.from_now);
  await upsert(db, `'all', every => '1 hour', missed => 'all', overlap => true`);
  await db.sql(`update pgmill.cron c set next_tick = now() - interval '190 minutes' where c.name = 'all'`);
  t.equal(await fire(db), 4, 'but not with missed all');
});

t.test("an interval's days and months are the calendar's of its zone, its hours the clock's", async (t) => {
  const after = (every: string, zone: string, tick: string) =>
    value(db, `select to_char(pgmill.cron_after(null, $1, $2, $3) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')`, [
      every,
      zone,
      tick,
    ]);
  t.equal(await after('1 day', 'Europe/Amsterdam', '2026-03-28 11:00Z'), '2026-03-29 10:00');
  t.equal(await after('24 hours', 'Europe/Amsterdam', '2026-03-28 11:00Z'), '2026-03-29 11:00');
  t.equal(await after('1 month', 'UTC', '2026-01-31 09:00Z'), '2026-02-28 09:00');
  t.equal(await after('1 year 1 month 1 day 1 hour', 'UTC', '2026-01-31 09:00Z'), '2027-03-01 10:00');
  t.equal(await after('30 minutes', 'Europe/Amsterdam', '2026-10-25 00:45Z'), '2026-10-25 01:15');
});

t.test('a handler is told the schedule, the tick, and when a job of it last succeeded', async (t) => {
  const claim = async () => (await db.sql(`select id, token, cron from pgmill.get_jobs('w', 10)`))[0];
  await upsert(db, `'report', ${yearly}, overlap => true`);
  await due(db, 'report');
  await fire(db);
  const first = await claim();
  t.match(first.cron, { name: 'report', expression: '0 0 1 1 *', last_completed_at: null });
  t.same(Object.keys(first.cron).sort(), ['expression', 'last_completed_at', 'name', 'tick']);
  t.equal(new Date(first.cron.tick).toISOString(), `${year}-01-01T00:00:00.000Z`);

  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', retry_in => '0')`, [first.id, first.token]);
  const second = await claim();
  t.equal(second.id, first.id);
  t.equal(second.cron.last_completed_at, null, 'a failure does not count');
  await db.sql('select pgmill.complete_job($1, $2)', [second.id, second.token]);
  const [done] = await db.sql('select finished_at from pgmill.job');

  await db.sql(`update pgmill.cron_tick set tick = tick - interval '1 year'`);
  await due(db, 'report');
  await fire(db);
  const third = await claim();
  t.equal(new Date(third.cron.last_completed_at).getTime(), done.finished_at.getTime());
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', final => true)`, [third.id, third.token]);
  t.equal(
    (await find(db, 'report')).last_completed_at.getTime(),
    done.finished_at.getTime(),
    'and stays when one fails for good',
  );

  await db.sql(`select pgmill.add_job('plain')`);
  t.equal((await claim()).cron, null, 'an ordinary job has none');
});

t.test('a success counts when the job is completed in a batch, and when it is not kept', async (t) => {
  for (const keep of [true, false]) {
    await upsert(db, `'a', ${yearly}`);
    await upsert(db, `'b', ${yearly}`);
    await upsert(db, `'c', ${yearly}`);
    for (const name of ['a', 'b', 'c']) await due(db, name);
    await db.sql(`select pgmill.add_job('plain')`);
    t.equal(await fire(db), 3);
    const jobs = await db.sql(`select id, token from pgmill.get_jobs('w', 10) where name <> 'c'`);
    await db.sql('select * from pgmill.complete_jobs($1, $2, keep => $3)', [
      jobs.map(({ id }) => id),
      jobs.map(({ token }) => token),
      keep,
    ]);
    t.type((await find(db, 'a')).last_completed_at, Date);
    t.type((await find(db, 'b')).last_completed_at, Date);
    t.equal((await find(db, 'c')).last_completed_at, null);
    await forget(db);
  }
});

t.test('a bad row does not stop the other schedules, nor any job; its error is shown', async (t) => {
  await upsert(db, `'good', ${yearly}`);
  for (const [name, change] of [
    ['a-expression', `expression = 'nonsense'`],
    ['b-never', `expression = '0 0 31 2 *'`],
    ['c-zone', `timezone = 'Nowhere'`],
    ['d-neither', `expression = null`],
    ['e-both', `every = '1 hour'`],
    ['f-negative', `expression = null, every = '-1 hour'`],
    ['g-attempts', `max_attempts = 0`],
    [
      'h-payload',
      `payload = to_jsonb(repeat(md5('x'), 40000) || (select string_agg(md5(g::text), '') from generate_series(1, 50000) g))`,
    ],
    ['i-queue', `queue = ''`],
    ['j-missed', `missed = 'sometimes'`],
    ['k-infinity', `next_tick = '-infinity'`],
  ]) {
    await upsert(db, `'${name}', ${yearly}, missed => 'all'`);
    await due(db, name as string);
    await db.sql(`update pgmill.cron c set ${change} where c.name = '${name}'`);
  }
  await due(db, 'good');
  await db.sql(`select pgmill.add_job('plain')`);
  const rows = await db.sql('select * from pgmill.tick()');
  t.match(
    rows.find(({ task }) => task === 'cron'),
    { changed: '1' },
  );
  t.same(await yearsOf(db, 'good'), [year]);
  t.equal((await db.sql(`select * from pgmill.get_jobs('w', 10)`)).length, 2);
  const found = await db.sql(`select name, error from pgmill.find_crons()`);
  for (const { name, error } of found) {
    if (name === 'good') t.equal(error, null);
    else t.match(error, /\(PM\d\d\d\)$/, name);
  }
  t.equal(found.length, 12);
  t.equal(await value(db, 'select count(*)::int from pgmill.cron_tick'), 1, 'nothing is left of the others');

  // It is not tried again at once, and it is when somebody has put it right.
  t.equal(await fire(db), 0);
  await upsert(db, `'a-expression', ${yearly}`);
  t.equal(await fire(db), 1);
  t.equal((await find(db, 'a-expression')).error, null);
  await db.sql(`update pgmill.cron c set timezone = 'UTC' where c.name = 'c-zone'`);
  t.equal(await fire(db), 0, 'put right by hand, it waits for its next try');
  await db.sql(`update pgmill.cron c set try_at = try_at - interval '11 s'`);
  t.equal(await fire(db), 1);
  t.equal((await find(db, 'c-zone')).error, null);
});

t.test('a tick is never fired twice, even when the schedule is set back by hand', async (t) => {
  await upsert(db, `'report', ${yearly}, missed => 'all', overlap => true`);
  await due(db, 'report', 1);
  t.equal(await fire(db), 2);
  await due(db, 'report', 2);
  t.equal(await fire(db), 1, 'only the tick that had no job');
  t.same(await yearsOf(db, 'report'), [year - 2, year - 1, year]);
});

t.test('old ticks are forgotten, but those of live jobs and the last success are kept', async (t) => {
  await upsert(db, `'seconds', '* * * * * *', missed => 'all', overlap => true`);
  // Three ticks long ago: one job succeeds, one fails, one stays alive.
  await db.sql(`update pgmill.cron set next_tick = date_trunc('second', clock_timestamp()) - interval '2 s'`);
  await fire(db);
  const jobs = await db.sql(`select id, token from pgmill.get_jobs('w', 3)`);
  t.equal(jobs.length, 3);
  await db.sql('select pgmill.complete_job($1, $2)', [jobs[0].id, jobs[0].token]);
  await db.sql(`select pgmill.fail_job($1, $2, 'no luck', final => true)`, [jobs[1].id, jobs[1].token]);
  await db.sql(`update pgmill.cron_tick set tick = tick - interval '1 year'`);
  // Then 150 ticks whose jobs are cancelled.
  await db.sql(`update pgmill.cron set next_tick = date_trunc('second', clock_timestamp()) - interval '149 s'`);
  await fire(db);
  await db.sql(`select pgmill.cancel_jobs()`);
  await db.sql(`select pgmill.forget_ticks('seconds')`);
  const rows = await db.sql(
    `select job_id, completed_at, tick < now() - interval '1 month' as old from pgmill.cron_tick order by tick`,
  );
  t.same(
    rows.filter(({ old }) => old).map(({ job_id }) => job_id),
    [jobs[0].id, jobs[2].id],
    'the success and the running one',
  );
  t.equal(rows.filter(({ old }) => !old).length, 100);
});

t.test('two sessions firing at once: the second passes over what the first has, and adds nothing later', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  t.equal(await fire(first), 1);
  t.equal(await fire(second), 0, 'it does not wait');
  await upsert(db, `'other', ${yearly}`);
  await due(db, 'other');
  t.equal(await fire(second), 1, 'nor does it pass over another schedule');
  await first.query('commit');
  t.equal(await fire(second), 0);
  t.same(await yearsOf(db, 'report'), [year]);
  t.same(await yearsOf(db, 'other'), [year]);
});

t.test('two sessions firing the same schedule: the second sees that it has moved on', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  const call = `select pgmill.fire_cron('report', clock_timestamp())::int as added`;
  t.same((await first.query(call)).rows, [{ added: 1 }]);
  const { result } = await whileBlocked(db, second, call);
  await first.query('commit');
  t.same(await result, [{ added: 0 }]);
  t.same(await yearsOf(db, 'report'), [year]);
});

t.test('a session that fires and dies leaves the tick to the next', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  const first = await db.client();
  await first.query('begin');
  t.equal(await fire(first), 1);
  const { pid } = (await first.query('select pg_backend_pid() as pid')).rows[0];
  await db.sql('select pg_terminate_backend($1, 10000)', [pid]);
  t.equal(await fire(db), 1);
  t.same(await yearsOf(db, 'report'), [year]);
});

t.test(
  'completing a job in an open transaction holds up neither the next tick nor a change of the schedule',
  async (t) => {
    await upsert(db, `'report', ${yearly}, overlap => true`);
    await due(db, 'report');
    await fire(db);
    const [job] = await db.sql(`select id, token from pgmill.get_jobs('w', 1)`);
    const handler = await db.client();
    await handler.query('begin');
    await handler.query('select pgmill.complete_job($1, $2)', [job.id, job.token]);
    const other = await db.client();
    await other.query(`set statement_timeout = '5 s'`);
    await upsert(other, `'report', '0 0 2 1 *', overlap => true`);
    await db.sql(`update pgmill.cron set next_tick = '${year}-01-02Z'`);
    t.equal(await fire(other), new Date() >= new Date(`${year}-01-02`) ? 1 : 0);
    await handler.query('commit');
    t.type((await find(db, 'report')).last_completed_at, Date);
  },
);
