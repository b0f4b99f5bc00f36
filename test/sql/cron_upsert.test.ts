// Schedules are registered, removed, paused: what changes, what must not, and what is refused.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { due, find, fire, forget, jobsOf, upsert, yearsOf } from './cron_help.js';
import { changed, refused, rooms, value, whileBlocked } from './rooms.js';

const db = await testDatabase(t);
const year = new Date().getUTCFullYear();
const yearly = `'0 0 1 1 *'`;

t.afterEach(() => forget(db));

const snapshot = () => db.sql('select c.*, c.xmin::text as version from pgmill.cron c order by c.name');
const names = async () => (await db.sql('select f.name from pgmill.find_crons() f')).map(({ name }) => name);
const sync = (owner: string, crons: unknown) =>
  db.sql('select * from pgmill.cron_sync($1, $2)', [owner, JSON.stringify(crons)]);

t.test('adds a schedule with the defaults, returns its next tick, and adds no job', async (t) => {
  const tick = await upsert(db, `'report', ${yearly}`);
  t.equal(tick.toISOString(), `${year + 1}-01-01T00:00:00.000Z`);
  const { retry_base, retry_max, ...row } = await find(db, 'report');
  t.same(row, {
    name: 'report',
    owner: 'default',
    expression: '0 0 1 1 *',
    every: null,
    timezone: 'UTC',
    job_name: 'report',
    queue: 'default',
    payload: {},
    priority: 4,
    max_attempts: 3,
    timeout: null,
    missed: 'once',
    overlap: false,
    paused: false,
    next_tick: tick,
    last_tick: null,
    last_completed_at: null,
    last_job_id: null,
    skipped: null,
    error: null,
  });
  t.match(retry_base, { minutes: 1 });
  t.match(retry_max, { days: 1 });
  t.same(await db.sql('select * from pgmill.job'), []);
});

t.test('an interval is due at once', async (t) => {
  const tick = await upsert(db, `'poll', every => '1 hour'`);
  t.ok(tick.getTime() <= Date.now() + 60_000);
  t.equal(await fire(db), 1);
});

t.test('takes the expression in its zone', async (t) => {
  const tick = await upsert(db, `'report', ${yearly}, timezone => 'Pacific/Kiritimati'`);
  t.match(tick.toISOString(), /-12-31T10:00:00.000Z$/);
});

t.test('an unchanged schedule is left alone: its due tick, its pause, its row', async (t) => {
  const args = `'report', ${yearly}, payload => '{"a": [1]}', timeout => '90 s', queue => 'q', timezone => 'Asia/Tokyo'`;
  await upsert(db, args);
  await upsert(db, `'poll', every => '1 hour'`);
  await upsert(db, `'paused', ${yearly}`);
  await db.sql(`select pgmill.cron_pause('paused')`);
  await due(db, 'report', 1);
  const before = await snapshot();
  t.same(
    await upsert(db, args),
    before.find(({ name }) => name === 'report')?.next_tick,
    'and it says which tick is next',
  );
  await upsert(db, `'poll', every => '1 hour'`);
  await upsert(db, `'paused', ${yearly}`);
  t.same(await snapshot(), before);
  t.equal(await fire(db), 2, 'what was due is fired');
});

t.test('a changed expression, zone or interval takes effect at once', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  t.equal(
    (await upsert(db, `'report', '0 0 2 1 *'`)).toISOString(),
    (await upsert(db, `'fresh', '0 0 2 1 *'`)).toISOString(),
  );
  t.match((await upsert(db, `'report', '0 0 2 1 *', timezone => 'Asia/Tokyo'`)).toISOString(), /-01-01T15:00:00.000Z$/);

  await upsert(db, `'poll', every => '10 hours'`);
  await fire(db);
  const last = (await find(db, 'poll')).last_tick.getTime();
  t.equal((await upsert(db, `'poll', every => '2 hours'`)).getTime() - last, 2 * 3_600_000, 'from the last tick');
  await db.sql(`update pgmill.cron c set last_tick = last_tick - interval '5 hours' where c.name = 'poll'`);
  const soon = await upsert(db, `'poll', every => '1 hour'`);
  t.ok(Math.abs(soon.getTime() - Date.now() - 3_600_000) < 60_000, 'or from now, when that is past');

  // Equal to PostgreSQL, but not the same: a day may have 25 hours.
  await upsert(db, `'poll', every => '24 hours'`);
  const before = await snapshot();
  await upsert(db, `'poll', every => '1 day'`);
  t.not(
    (await snapshot()).find(({ name }) => name === 'poll')?.version,
    before.find(({ name }) => name === 'poll')?.version,
  );
  t.match(await find(db, 'poll'), { expression: null });
  t.match(
    (await upsert(db, `'poll', ${yearly}`)).toISOString(),
    /-01-01T00:00:00/,
    'an interval may become an expression',
  );
});

t.test('a changed payload or limit keeps the due tick, and the job has the new ones', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  await upsert(db, `'report', ${yearly}, payload => '{"new": true}', priority => 0, overlap => true`);
  t.equal(await fire(db), 1);
  t.match((await db.sql('select payload, priority from pgmill.job'))[0], { payload: { new: true }, priority: 0 });
});

t.test('a tick that is due stays due when the expression changes', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  await upsert(db, `'report', '0 0 1 2-12/11 *'`);
  t.equal(await fire(db), 1, 'one job for it, and for what is missed of the new expression');
  t.ok((await find(db, 'report')).next_tick > new Date());
});

t.test(
  'a changed expression never comes back to a tick that was fired, even when the clock was set back',
  async (t) => {
    await upsert(db, `'report', ${yearly}`);
    await db.sql('update pgmill.cron set last_tick = next_tick');
    t.equal((await upsert(db, `'report', '0 0 1 JAN *'`)).getUTCFullYear(), year + 2);
  },
);

t.test('registering while a job of it runs returns at once, and leaves one future tick', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  await fire(db);
  const handler = await db.client();
  const [job] = (await handler.query(`select id, token from pgmill.get_jobs('w', 1)`)).rows;
  await handler.query('begin');
  await handler.query('select pgmill.complete_job($1, $2)', [job.id, job.token]); // and its transaction goes on
  const deploy = await db.client();
  await deploy.query(`set statement_timeout = '5 s'`);
  const tick = await upsert(deploy, `'report', ${yearly}`);
  t.ok(tick > new Date());
  t.same(await upsert(deploy, `'report', ${yearly}, priority => 3`), tick);
  await handler.query('commit');
  t.equal(await fire(db), 0);
  t.same(
    (await jobsOf(db, 'report')).map(({ state }) => state),
    ['completed'],
  );
  t.equal(await value(db, 'select count(*)::int from pgmill.cron'), 1);
});

t.test('a schedule named like ordinary jobs leaves those alone', async (t) => {
  for (const args of [`'report'`, `'report', run_at => now() + interval '1 day'`, `'report', priority => 9`]) {
    await db.sql(`select pgmill.add_job(${args})`);
  }
  await db.sql(`select pgmill.get_jobs('w', 1)`);
  const before = await rooms(db);
  await upsert(db, `'report', ${yearly}`);
  await upsert(db, `'report', '0 0 2 1 *'`);
  await sync('default', [{ name: 'report', every: '1 hour' }]);
  await db.sql(`select pgmill.cron_pause('report'), pgmill.cron_remove('report')`);
  await changed(t, db, before, [], 'no job has changed');
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  t.equal(await fire(db), 1, 'nor do they count as jobs of the schedule');
});

t.test('a schedule that nobody handles is seen in insights', async (t) => {
  await upsert(db, `'nobody', ${yearly}, queue => 'lonely'`);
  await due(db, 'nobody');
  await fire(db);
  await due(db, 'nobody', 0);
  await fire(db);
  t.match(await db.sql(`select queue, name, ready from pgmill.insights() where name = 'nobody'`), [
    { queue: 'lonely', ready: '1' },
  ]);
});

t.test('two sessions adding the same schedule: the second waits, and finds it as it is', async (t) => {
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  const tick = await upsert(first, `'report', ${yearly}`);
  const { result } = await whileBlocked<{ tick: Date }>(
    db,
    second,
    `select pgmill.cron_upsert('report', ${yearly}) as tick`,
  );
  await first.query('commit');
  t.same(await result, [{ tick }]);
  t.same(await names(), ['report']);
});

t.test('changing a schedule that is just being fired waits, and loses no tick', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  const [first, second] = [await db.client(), await db.client()];
  await first.query('begin');
  t.equal(await fire(first), 1);
  const { result } = await whileBlocked<{ tick: Date }>(
    db,
    second,
    `select pgmill.cron_upsert('report', '0 0 1 1,1-1 *') as tick`,
  );
  await first.query('commit');
  t.equal((await result)[0]?.tick.getUTCFullYear(), year + 1);
  t.equal(await fire(db), 0);
  t.same(await yearsOf(db, 'report'), [year]);
});

t.test('refuses bad arguments, and changes nothing', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await upsert(db, `'theirs', ${yearly}, owner => 'them'`);
  const before = await snapshot();
  await refused(t, db, [
    `cron_upsert(null, ${yearly})`,
    `cron_upsert('', ${yearly})`,
    `cron_upsert(repeat('x', 256), ${yearly})`,
    `cron_upsert('report')`,
    `cron_upsert('report', ${yearly}, '1 hour')`,
    `cron_upsert('report', every => '0')`,
    `cron_upsert('report', every => '-1 hour')`,
    `cron_upsert('report', every => '0.5 s')`,
    `cron_upsert('report', every => '11 years')`,
    `cron_upsert('report', every => '1 month -30 days')`,
    `cron_upsert('report', ${yearly}, job_name => '')`,
    `cron_upsert('report', ${yearly}, payload => null)`,
    `cron_upsert('report', ${yearly}, payload => to_jsonb((select string_agg(md5(g::text), '') from generate_series(1, 40000) g)))`,
    `cron_upsert('report', ${yearly}, timezone => null)`,
    `cron_upsert('report', ${yearly}, queue => '')`,
    `cron_upsert('report', ${yearly}, priority => null)`,
    `cron_upsert('report', ${yearly}, max_attempts => 0)`,
    `cron_upsert('report', ${yearly}, timeout => '0')`,
    `cron_upsert('report', ${yearly}, owner => null)`,
    `cron_upsert('report', ${yearly}, owner => '')`,
    `cron_upsert('report', ${yearly}, missed => 'twice')`,
    `cron_upsert('report', ${yearly}, missed => null)`,
    `cron_upsert('report', ${yearly}, overlap => null)`,
    `cron_upsert('report', ${yearly}, retry_base => null)`,
    `cron_upsert('theirs', ${yearly})`,
    `cron_remove(null)`,
    `cron_pause('')`,
    `cron_resume(null)`,
    `cron_sync(null, '[]')`,
    `cron_sync('', '[]')`,
    `cron_sync('default', null)`,
    `cron_sync('default', '{}')`,
    `cron_sync('default', '[1]')`,
    `cron_sync('default', '[{}]')`,
    `cron_sync('default', '[{"name": null, "expression": "@daily"}]')`,
    `cron_sync('default', '[{"name": "", "expression": "@daily"}]')`,
    `cron_sync('default', '[{"name": "a"}]')`,
    `cron_sync('default', '[{"name": "a", "expression": "@daily", "owner": "them"}]')`,
    `cron_sync('default', '[{"name": "a", "expression": "@daily", "cron": "@daily"}]')`,
    `cron_sync('default', '[{"name": "a", "every": "often"}]')`,
    `cron_sync('default', '[{"name": "a", "every": "1 hour", "priority": "high"}]')`,
    `cron_sync('default', '[{"name": "a", "expression": "@daily"}, {"name": "a", "expression": "@daily"}]')`,
    `cron_sync('default', '[{"name": "theirs", "expression": "@daily"}]')`,
  ]);
  t.same(await snapshot(), before);
  await t.rejects(upsert(db, `'report', '61 * * * *'`), { code: 'PM201', message: /minute/ });
  await t.rejects(upsert(db, `'report', ${yearly}, timezone => 'CEST'`), { code: 'PM202' });
  t.same(await snapshot(), before);
});

t.test('cron_remove removes one schedule; its jobs stay and are done', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await upsert(db, `'other', ${yearly}`);
  await due(db, 'report');
  await fire(db);
  t.equal(await value(db, `select pgmill.cron_remove('report')`), true);
  t.equal(await value(db, `select pgmill.cron_remove('report')`), false);
  t.same(await names(), ['other']);
  t.equal(await value(db, 'select count(*)::int from pgmill.cron_tick'), 0);
  const [job] = await db.sql(`select id, token, cron from pgmill.get_jobs('w', 1)`);
  t.match(job.cron, { name: 'report', expression: null, last_completed_at: null });
  await db.sql('select pgmill.complete_job($1, $2)', [job.id, job.token]);
  t.equal(await value(db, 'select count(*)::int from pgmill.cron_tick'), 0);
  await upsert(db, `'report', ${yearly}`);
  t.match(await find(db, 'report'), { last_completed_at: null, last_tick: null }, 'added again, it begins anew');
});

t.test('cron_pause and cron_resume: after days of pause, the next future tick and no other', async (t) => {
  await upsert(db, `'report', ${yearly}, missed => 'all'`);
  await upsert(db, `'other', ${yearly}`);
  await due(db, 'other', 3);
  t.equal(await value(db, `select pgmill.cron_pause('report')`), true);
  t.equal(await value(db, `select pgmill.cron_pause('report')`), false);
  t.match(await find(db, 'report'), { paused: true, next_tick: null });
  await due(db, 'report', 3);
  t.equal(await fire(db), 1, 'of the other one');
  const tick: Date = await value(db, `select pgmill.cron_resume('report')`);
  t.equal(tick.getUTCFullYear(), year + 1);
  t.same(await value(db, `select pgmill.cron_resume('report')`), tick, 'once more changes nothing');
  t.equal(await fire(db), 0);
  t.match(await find(db, 'report'), { paused: false, next_tick: tick });
});

t.test('cron_resume leaves a schedule alone that is not paused, also when a tick is due', async (t) => {
  await upsert(db, `'report', ${yearly}`);
  await due(db, 'report');
  t.ok((await value(db, `select pgmill.cron_resume('report')`)) < new Date());
  t.equal(await fire(db), 1);
});

t.test(
  'an interval that was paused goes on with the last tick and the interval, or now and the interval',
  async (t) => {
    await upsert(db, `'poll', every => '1 hour'`);
    await fire(db);
    const { last_tick: last, next_tick: next } = await find(db, 'poll');
    await db.sql(`select pgmill.cron_pause('poll')`);
    t.same(await value(db, `select pgmill.cron_resume('poll')`), next);
    t.equal(next - last, 3_600_000);
    await db.sql(`select pgmill.cron_pause('poll')`);
    await db.sql(`update pgmill.cron set last_tick = last_tick - interval '9 days'`);
    t.ok(Math.abs((await value(db, `select pgmill.cron_resume('poll')`)) - Date.now() - 3_600_000) < 60_000);
  },
);

t.test('pausing or resuming an unknown schedule is PM203', async (t) => {
  for (const verb of ['pause', 'resume']) {
    await t.rejects(db.sql(`select pgmill.cron_${verb}('nothing')`), {
      code: 'PM203',
      message: /nothing/,
      hint: /cron_upsert/,
    });
  }
});

t.test('cron_sync makes the schedules of its owner what the list says, and leaves those of others', async (t) => {
  await upsert(db, `'theirs', ${yearly}, owner => 'them'`);
  await upsert(db, `'by hand', ${yearly}`);
  t.same(
    (
      await sync('app', [
        { name: 'b', every: '90 seconds' },
        { name: 'a', expression: '0 0 1 1 *' },
      ])
    ).map(({ name }) => name),
    ['a', 'b'],
  );
  t.same(await names(), ['a', 'b', 'by hand', 'theirs']);
  await due(db, 'a');
  const before = await snapshot();
  await sync('app', [
    { name: 'a', expression: '0 0 1 1 *' },
    { name: 'b', every: '90 seconds' },
  ]);
  t.same(await snapshot(), before, 'the same list changes nothing');
  await sync('app', [
    { name: 'c', expression: '@daily', payload: { x: 1 }, job_name: 'work', overlap: true, max_attempts: null },
    { name: 'a', expression: '0 0 1 1 *' },
  ]);
  t.same(await names(), ['a', 'by hand', 'c', 'theirs']);
  t.match(await find(db, 'c'), {
    owner: 'app',
    payload: { x: 1 },
    job_name: 'work',
    overlap: true,
    max_attempts: 3,
    priority: 4,
  });
  t.equal(await fire(db), 1, 'what was due stayed due');
  t.same(await sync('app', []), []);
  t.same(await names(), ['by hand', 'theirs']);
});

t.test('cron_sync is all or nothing, and names the schedule that is wrong', async (t) => {
  await sync('app', [
    { name: 'a', expression: '@daily' },
    { name: 'b', expression: '@daily' },
  ]);
  const before = await snapshot();
  for (const [wrong, code] of [
    [{ name: 'x', expression: '0 0 30 2 *' }, 'PM201'],
    [{ name: 'x', expression: '0 25 * * *' }, 'PM201'],
    [{ name: 'x', expression: '@daily', timezone: 'UTC+2' }, 'PM202'],
    [{ name: 'x', expression: '@daily', priority: 1.5 }, 'PM001'],
  ] as const) {
    const crons = [{ name: 'a', expression: '@hourly' }, { name: 'n', expression: '@hourly' }, wrong];
    await t.rejects(sync('app', crons), { code, message: /^Schedule x: ./, hint: /./ });
  }
  t.same(await snapshot(), before);
});

t.test(
  'two deploys syncing at once, with different lists in different orders, wait for each other and both succeed',
  async (t) => {
    await sync(
      'app',
      ['a', 'b', 'c'].map((name) => ({ name, expression: '@daily' })),
    );
    const [first, second] = [await db.client(), await db.client()];
    await first.query('begin');
    const call = 'select * from pgmill.cron_sync($1, $2)';
    await first.query(call, [
      'app',
      JSON.stringify([
        { name: 'c', expression: '@daily' },
        { name: 'new', expression: '@daily' },
      ]),
    ]);
    const list = JSON.stringify([
      { name: 'new', expression: '@hourly' },
      { name: 'a', expression: '@hourly' },
    ]);
    const { result } = await whileBlocked(db, second, call, ['app', list]);
    await first.query('commit');
    await result;
    t.same(await names(), ['a', 'new'], 'the last one holds');
  },
);
