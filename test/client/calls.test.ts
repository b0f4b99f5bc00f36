// Every method of the client against the real functions: what it sends, what comes back, and in which form.
import t, { type Test } from 'tap';
import { PgMill } from '../../client/index.js';
import { testDatabase } from '../postgres/database.js';

const minute = 60_000;
const day = 86_400_000;

async function open(t: Test) {
  const database = await testDatabase(t);
  const mill = new PgMill({ pool: database.pool });
  t.teardown(() => mill.close());
  const claim = async (maxJobs = 1) => {
    const jobs = await mill.getJobs({ worker: 'w1', maxJobs });
    if (jobs.length !== maxJobs) throw new Error(`${jobs.length} jobs claimed, not ${maxJobs}`);
    return jobs as [(typeof jobs)[number], ...typeof jobs];
  };
  return { ...database, mill, claim };
}

t.test('adding', async (t) => {
  const { mill, sql } = await open(t);

  t.test('gives a job the defaults of add_job when nothing is said', async (t) => {
    const id = await mill.addJob('bare');
    t.type(id, 'string');
    const job = await mill.findJob(id);
    t.match(job, {
      id,
      name: 'bare',
      payload: {},
      queue: 'default',
      priority: 5,
      attempts: 0,
      maxAttempts: 3,
      timeout: null,
      retryBase: minute,
      retryMax: day,
      uniqueKey: null,
      errors: [],
      cron: null,
      cronTick: null,
      state: 'ready',
      worker: null,
      claimedAt: null,
      leaseUntil: null,
      cancelRequested: false,
      finishedAt: null,
      result: null,
    });
    t.type(job?.runAt, Date);
    t.type(job?.createdAt, Date);
  });

  t.test('hands every option on', async (t) => {
    const runAt = new Date(Date.now() + day);
    const id = await mill.addJob(
      'full',
      { a: [1, 'two', null] },
      {
        queue: 'mail',
        priority: 0,
        runAt,
        maxAttempts: 1,
        timeout: 1.5,
        retryBase: 0,
        retryMax: 90_000,
        uniqueKey: 'k',
        onDuplicate: 'error',
      },
    );
    t.match(await mill.findJob(id), {
      payload: { a: [1, 'two', null] },
      queue: 'mail',
      priority: 0,
      runAt,
      maxAttempts: 1,
      timeout: 1.5,
      retryBase: 0,
      retryMax: 90_000,
      uniqueKey: 'k',
      state: 'scheduled',
    });
  });

  t.test('keeps payloads as JSON has them', async (t) => {
    for (const payload of [
      null,
      0,
      false,
      '',
      'text with "quotes" \\ and \\u0000 spelled out',
      [],
      [[1]],
      { ü: '😀' },
      new Date(0),
      { at: new Date(0), none: undefined, list: [undefined] },
    ]) {
      const id = await mill.addJob('json', payload);
      const [added] = await mill.addJobs([{ name: 'json', payload }]);
      const kept = JSON.parse(JSON.stringify(payload));
      t.strictSame((await mill.findJob(id))?.payload, kept, JSON.stringify(payload));
      t.strictSame((await mill.findJob(added?.id ?? ''))?.payload, kept ?? {}, `${JSON.stringify(payload)} among many`);
    }
  });

  t.test('adds many jobs in one call, and says which of them are new', async (t) => {
    const jobs = await mill.addJobs([
      { name: 'one', payload: { n: 1 }, uniqueKey: 'same', timeout: 2 * minute, runAt: new Date(Date.now() + day) },
      { name: 'two', priority: 0, queue: 'other' },
      { name: 'three', uniqueKey: 'same' },
    ]);
    t.strictSame(
      jobs.map(({ created }) => created),
      [true, true, false],
    );
    t.equal(jobs[2]?.id, jobs[0]?.id);
    t.match(await mill.findJob(jobs[0]?.id ?? ''), {
      name: 'one',
      payload: { n: 1 },
      timeout: 2 * minute,
      state: 'scheduled',
    });
    t.match(await mill.findJob(jobs[1]?.id ?? ''), {
      name: 'two',
      payload: {},
      priority: 0,
      queue: 'other',
      state: 'ready',
    });
    t.strictSame(await mill.addJobs([]), []);
  });

  t.test('adds in a transaction of the caller: there after commit, gone after rollback, unseen before', async (t) => {
    await sql('create table orders (id int)');
    for (const end of ['commit', 'rollback']) {
      const { pool } = mill;
      const tx = await pool.connect();
      await tx.query('begin');
      await tx.query('insert into orders values (1)');
      const id = await mill.addJob('order', { end }, { tx });
      const [other] = await mill.addJobs([{ name: 'order' }], { tx });
      t.equal(await mill.findJob(id), undefined, 'nobody else sees it before the end');
      t.match(await mill.findJob(id, { tx }), { id }, 'the transaction itself does');
      await tx.query(end);
      tx.release();
      t.equal((await mill.findJob(id))?.id, end === 'commit' ? id : undefined);
      t.equal((await mill.findJob(other?.id ?? ''))?.id, end === 'commit' ? other?.id : undefined);
    }
    t.strictSame(await sql('select count(*)::int as n from orders'), [{ n: 1 }]);
  });
});

t.test('claiming and settling', async (t) => {
  const { mill, claim, sql } = await open(t);

  t.test('claims jobs with everything a handler needs', async (t) => {
    const id = await mill.addJob('mail', { to: 'a' }, { timeout: 5000, maxAttempts: 7, priority: 2 });
    const before = Date.now();
    const [job] = await mill.getJobs({ worker: 'w1', maxJobs: 10, lease: 10 * minute });
    t.match(job, {
      id,
      queue: 'default',
      name: 'mail',
      payload: { to: 'a' },
      priority: 2,
      attempt: 1,
      maxAttempts: 7,
      timeout: 5000,
    });
    t.equal(job?.cron, null);
    t.match(job?.token, /^[\da-f-]{36}$/);
    t.type(job?.runAt, Date);
    t.type(job?.createdAt, Date);
    const lease = (job?.leaseUntil.getTime() ?? 0) - before;
    t.ok(lease > 9 * minute && lease < 11 * minute, `lease of ${lease} ms`);
    t.match(await mill.findJob(id), { state: 'running', worker: 'w1', attempts: 1, leaseUntil: job?.leaseUntil });
    t.strictSame(await mill.getJobs({ worker: 'w1', maxJobs: 10 }), []);
    t.equal(await mill.getJob({ worker: 'w1' }), undefined);
    await mill.completeJobs(job ? [job] : []);
  });

  t.test('claims by queue and by name', async (t) => {
    await mill.addJobs([
      { name: 'a', queue: 'q1' },
      { name: 'b', queue: 'q1' },
      { name: 'c', queue: 'q2' },
    ]);
    const get = async (options: object) =>
      (await mill.getJobs({ worker: 'w', maxJobs: 1, ...options })).map(({ name }) => name);
    t.strictSame(await get({ queues: ['q1'], names: ['x'] }), []);
    t.strictSame(await get({ queues: ['q1'], exceptNames: ['a', 'b'] }), []);
    t.strictSame(await get({ queues: ['q1'], exceptNames: ['a'] }), ['b']);
    t.equal((await mill.getJob({ worker: 'w', queues: ['q2', 'q1'], names: ['c', 'x'], unordered: true }))?.name, 'c');
    t.equal((await mill.getJob({ worker: 'w', queues: ['a "quoted", {odd} \\ name', 'q1'] }))?.name, 'a');
    t.equal(await mill.cancelJobs({}), 3);
    await sql(`update pgmill.running set lease_until = clock_timestamp() - interval '1 hour'`);
    await mill.reclaim();
  });

  t.test('completes a job with its result, and never twice', async (t) => {
    const id = await mill.addJob('one');
    const [job] = await claim();
    t.equal(await mill.completeJob(job.id, job.token, { result: { sum: 0 } }), undefined);
    t.match(await mill.findJob(id), { state: 'completed', result: { sum: 0 }, finishedAt: Date });
    await t.rejects(mill.completeJob(job.id, job.token), { name: 'AlreadyCompletedError', code: 'PM003' });
    const stranger = '00000000-0000-4000-8000-000000000000';
    await t.rejects(mill.completeJob(job.id, stranger), { name: 'LeaseLostError', code: 'PM002', hint: /./ });
  });

  t.test('forgets a completed job with keep: false', async (t) => {
    await mill.addJobs([{ name: 'forget' }, { name: 'forget' }]);
    const [first, second] = await claim(2);
    await mill.completeJob(first.id, first.token, { keep: false });
    await mill.completeJobs(second ? [second] : [], { keep: false });
    t.equal(await mill.findJob(first.id), undefined);
    t.strictSame(await mill.findJobs({ name: 'forget' }), []);
  });

  t.test('completes many at once, each with its own result or none', async (t) => {
    await mill.addJobs([{ name: 'many' }, { name: 'many' }, { name: 'many' }]);
    const [a, b, c] = (await claim(3)) as Required<Awaited<ReturnType<typeof claim>>>;
    if (!a || !b || !c) return t.fail('three jobs');
    const lost = { id: c.id, token: a.token };
    t.strictSame(await mill.completeJobs([{ ...b, result: 0 }, lost, { ...a }]), [
      { id: b.id, outcome: 'completed' },
      { id: c.id, outcome: 'lease_lost' },
      { id: a.id, outcome: 'completed' },
    ]);
    t.equal((await mill.findJob(b.id))?.result, 0);
    t.equal((await mill.findJob(a.id))?.result, null);
    t.strictSame(await mill.completeJobs([a, c]), [
      { id: a.id, outcome: 'already_completed' },
      { id: c.id, outcome: 'completed' },
    ]);
  });

  t.test('fails a job: it comes back, or has failed', async (t) => {
    const id = await mill.addJob('bad');
    const [job] = await claim();
    const before = Date.now();
    const { state, runAt } = await mill.failJob(job.id, job.token, 'no luck', { retryIn: day });
    t.equal(state, 'scheduled');
    t.ok(Math.abs((runAt?.getTime() ?? 0) - before - day) < 10_000, 'retryIn is in milliseconds');
    const stored = await mill.findJob(id);
    t.match(stored, {
      state: 'scheduled',
      attempts: 1,
      errors: [{ attempt: 1, reason: 'error', message: 'no luck', worker: 'w1' }],
    });
    t.type(stored?.errors[0]?.at, Date);
    t.strictSame(await mill.failJob(job.id, job.token, 'again'), { state: 'lease_lost', runAt: null });

    await mill.updateJob(id, { runAt: new Date(0) });
    const [again] = await claim();
    t.equal(again.attempt, 2);
    t.strictSame(await mill.failJob(again.id, again.token, 'late', { final: true, reason: 'timeout' }), {
      state: 'failed',
      runAt: null,
    });
    t.match((await mill.findJob(id))?.errors.at(-1), { attempt: 2, reason: 'timeout', message: 'late' });
  });

  t.test('fails many at once', async (t) => {
    await mill.addJobs([{ name: 'bad' }, { name: 'bad' }]);
    const [a, b] = await claim(2);
    if (!b) return t.fail('two jobs');
    const rows = await mill.failJobs([
      { id: b.id, token: b.token, error: 'b', retryIn: 0, reason: 'timeout' },
      { id: a.id, token: a.token, error: 'a', final: true },
      { id: a.id, token: b.token, error: 'stale' },
    ]);
    t.match(rows, [
      { id: b.id, state: 'scheduled', runAt: Date },
      { id: a.id, state: 'failed', runAt: null },
      { id: a.id, state: 'lease_lost', runAt: null },
    ]);
    t.equal((await mill.findJob(a.id))?.errors[0]?.message, 'a');
    await mill.cancelJob(b.id);
  });

  t.test('extends, releases and snoozes', async (t) => {
    await mill.addJob('long');
    const [job] = await claim();
    const lost = { id: job.id, token: '00000000-0000-4000-8000-000000000000' };
    t.strictSame(await mill.extendLeases([job, lost], { lease: day }), [
      { id: job.id, outcome: 'extended' },
      { id: job.id, outcome: 'lease_lost' },
    ]);
    t.ok(((await mill.findJob(job.id))?.leaseUntil?.getTime() ?? 0) > Date.now() + day - minute);

    t.strictSame(await mill.releaseJobs([job]), [{ id: job.id, outcome: 'released' }]);
    t.match(await mill.findJob(job.id), { state: 'ready', attempts: 0 });

    const [again] = await claim();
    const runAt = new Date(Date.now() + day);
    t.strictSame(await mill.snoozeJob(again.id, again.token, runAt), { state: 'scheduled', runAt });
    t.match(await mill.findJob(job.id), { state: 'scheduled', attempts: 0, runAt });
    t.strictSame(await mill.snoozeJob(again.id, again.token, runAt), { state: 'lease_lost', runAt: null });
    await mill.updateJob(job.id, { runAt: new Date(0) });
    const [third] = await claim();
    t.match(await mill.snoozeJob(third.id, third.token, new Date(0)), { state: 'ready', runAt: Date });
    await mill.cancelJob(job.id);
  });

  t.test('completes in the transaction of the handler', async (t) => {
    await sql('create table ledger (id text)');
    await mill.addJobs([{ name: 'tx' }, { name: 'tx' }]);
    const [kept, undone] = await claim(2);
    if (!undone) return t.fail('two jobs');
    for (const [job, end] of [
      [kept, 'commit'],
      [undone, 'rollback'],
    ] as const) {
      const tx = await mill.pool.connect();
      await tx.query('begin');
      await tx.query('insert into ledger values ($1)', [job.id]);
      await mill.completeJob(job.id, job.token, { tx, result: end });
      await tx.query(end);
      tx.release();
    }
    t.strictSame(await sql('select id from ledger'), [{ id: kept.id }]);
    t.match(await mill.findJob(kept.id), { state: 'completed', result: 'commit' });
    t.match(await mill.findJob(undone.id), { state: 'running' });
    await mill.completeJobs([undone]);
  });

  t.test('says when the next job is due, by the database’s clock', async (t) => {
    t.equal(await mill.nextRunAt({ queues: ['later'] }), null);
    t.equal(await mill.millisUntilNextRun({ queues: ['later'] }), null);
    const runAt = new Date(Date.now() + day);
    await mill.addJob('later', {}, { queue: 'later', runAt });
    t.strictSame(await mill.nextRunAt({ queues: ['later'] }), runAt);
    t.equal(await mill.nextRunAt({ queues: ['later'], exceptNames: ['later'] }), null);
    const millis = (await mill.millisUntilNextRun({ queues: ['later'], names: ['later'] })) ?? 0;
    t.ok(millis > day - minute && millis <= day, `${millis} ms`);
  });

  t.test('takes back jobs whose lease ran out', async (t) => {
    await mill.addJobs([{ name: 'dead' }, { name: 'dead' }]);
    const jobs = await claim(2);
    t.equal(await mill.reclaim(), 0);
    await sql(`update pgmill.running set lease_until = clock_timestamp() - interval '1 hour'`);
    t.equal(await mill.reclaim({ maxJobs: 1 }), 1);
    t.match(await mill.tick(), [{ task: 'reclaim', changed: 1 }]);
    t.match((await mill.findJob(jobs[0].id))?.errors, [{ reason: 'lease_expired' }]);
  });

  t.test('enters and leaves sleep on a connection of its own', async (t) => {
    const tx = await mill.pool.connect();
    const locks = () =>
      sql(`select 1 from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'
      and database = (select oid from pg_database where datname = current_database())`);
    await mill.enterSleep(['a', 'b'], { tx });
    t.equal((await locks()).length, 2);
    await mill.leaveSleep({ tx });
    t.strictSame(await locks(), []);
    tx.release();
  });
});

t.test('looking and administering', async (t) => {
  const { mill, claim, sql } = await open(t);

  t.test('finds jobs by each filter and page by page', async (t) => {
    const soon = new Date(Date.now() + day);
    const later = new Date(Date.now() + 2 * day);
    const added = await mill.addJobs([
      { name: 'a', queue: 'find', uniqueKey: 'k1', runAt: soon },
      { name: 'b', queue: 'find', runAt: later },
      { name: 'b', queue: 'find' },
    ]);
    const [a, b, c] = added.map(({ id }) => id);
    const found = async (filter: Parameters<typeof mill.findJobs>[0]) =>
      (await mill.findJobs({ queue: 'find', ...filter })).map(({ id }) => id);
    t.strictSame(await found({}), [a, b, c]);
    t.strictSame(await found({ state: 'ready' }), [c]);
    t.strictSame(await found({ state: 'scheduled' }), [a, b]);
    t.strictSame(await found({ name: 'b' }), [b, c]);
    t.strictSame(await found({ uniqueKey: 'k1' }), [a]);
    t.strictSame(await found({ runFrom: soon, runUntil: later }), [a], 'from on, and before');
    t.strictSame(await found({ maxJobs: 2 }), [a, b]);
    t.strictSame(await found({ maxJobs: 2, afterId: b }), [c]);
    t.strictSame(await mill.findJobs({ queue: 'nowhere' }), []);
    t.equal(await mill.findJob('9223372036854775807'), undefined);
    t.equal(await mill.cancelJobs({ queue: 'find' }), 3);
  });

  t.test('changes a job that is not running, and only what is given', async (t) => {
    const id = await mill.addJob('edit', { a: 1 }, { priority: 3, timeout: 5000 });
    const runAt = new Date(Date.now() + day);
    t.equal(await mill.updateJob(id, { priority: 0, runAt, maxAttempts: 9, retryBase: 1000, retryMax: 2000 }), true);
    const changed = {
      payload: { a: 1 },
      priority: 0,
      runAt,
      maxAttempts: 9,
      timeout: 5000,
      retryBase: 1000,
      retryMax: 2000,
    };
    t.match(await mill.findJob(id), changed);
    t.equal(await mill.updateJob(id, { payload: null, timeout: 1 }), true);
    t.match(await mill.findJob(id), { payload: null, timeout: 1 });
    t.equal(await mill.updateJob(id, { runAt: new Date(0) }), true);
    const [job] = await claim();
    await t.rejects(mill.updateJob(id, { priority: 1 }), { name: 'JobRunningError', code: 'PM005' });
    await mill.completeJobs([job]);
    t.equal(await mill.updateJob(id, { priority: 1 }), false);
    t.equal(await mill.updateJob('9223372036854775807', { priority: 1 }), false);
  });

  t.test('cancels by id: at once, or by asking the one that runs it', async (t) => {
    const id = await mill.addJob('stop');
    t.equal(await mill.cancelJob(id), true);
    t.equal(await mill.cancelJob(id), false);
    t.match(await mill.findJob(id), { state: 'cancelled' });

    await mill.addJob('stop');
    const [job] = await claim();
    t.equal(await mill.cancelJob(job.id), true);
    t.match(await mill.findJob(job.id), { state: 'running', cancelRequested: true });
    t.strictSame(await mill.extendLeases([job]), [{ id: job.id, outcome: 'cancel_requested' }]);
    t.strictSame(await mill.releaseJobs([job]), [{ id: job.id, outcome: 'cancelled' }]);
  });

  t.test('cancels by filter, and everything only when asked for with {}', async (t) => {
    const runAt = new Date(Date.now() + day);
    await mill.addJobs([
      { name: 'c1', queue: 'cancel', priority: 1, runAt, uniqueKey: 'c' },
      { name: 'c2', queue: 'cancel', priority: 0, runAt: new Date(Date.now() + 2 * day) },
      { name: 'c3', queue: 'cancel' },
      { name: 'c4', queue: 'other' },
    ]);
    t.equal(await mill.cancelJobs({ queue: 'cancel', name: 'none' }), 0);
    t.equal(await mill.cancelJobs({ queue: 'cancel', priority: 0 }), 1, 'zero is a filter');
    t.equal(await mill.cancelJobs({ queue: 'cancel', runAt, uniqueKey: 'c', runFrom: runAt }), 1);
    t.equal(await mill.cancelJobs({ name: 'c3', runUntil: new Date(Date.now() + minute) }), 1);
    const forgotten: { queue?: string } = {};
    await t.rejects(mill.cancelJobs({ queue: forgotten.queue as string }), {
      name: 'InvalidArgumentError',
      message: /queue/,
    });
    t.match(await mill.findJobs({ name: 'c4' }), [{ state: 'ready' }]);
    t.equal(await mill.cancelJobs({}), 1);
  });

  t.test('gives failed and cancelled jobs fresh attempts', async (t) => {
    const id = await mill.addJob('again', {}, { queue: 'again', maxAttempts: 1 });
    const job = await mill.getJob({ worker: 'w', queues: ['again'] });
    await mill.failJob(id, job?.token ?? '', 'no');
    t.match(await mill.findJob(id), { state: 'failed' });
    t.equal(await mill.retryJob(id), true);
    t.equal(await mill.retryJob(id), false);
    t.match(await mill.findJob(id), { state: 'ready', attempts: 0 });

    await mill.addJob('again', {}, { queue: 'again' });
    t.equal(await mill.cancelJobs({ queue: 'again' }), 2);
    t.equal(await mill.retryJobs({ queue: 'again', state: 'failed' }), 0);
    t.equal(await mill.retryJobs({ queue: 'again', name: 'again', state: 'cancelled', maxJobs: 1 }), 1);
    t.equal(await mill.retryJobs({ queue: 'again', runFrom: new Date(0), runUntil: new Date(Date.now() + minute) }), 1);
    await t.rejects(mill.retryJobs({ queue: undefined as unknown as string }), { name: 'InvalidArgumentError' });
    await mill.cancelJobs({ queue: 'again' });
  });

  t.test('removes old jobs', async (t) => {
    await mill.cleanup({ completedAfter: 0, failedAfter: 0, cancelledAfter: 0 });
    const id = await mill.addJob('old');
    await mill.cancelJob(id);
    const total = (rows: { removed: number }[]) => rows.reduce((sum, { removed }) => sum + removed, 0);
    t.equal(total(await mill.cleanup()), 0);
    const removed = await mill.cleanup({ cancelledAfter: 0, completedAfter: day, failedAfter: day });
    t.match(
      removed.find(({ state }) => state === 'cancelled'),
      { removed: 1 },
    );
    t.equal(await mill.findJob(id), undefined);
  });

  t.test('counts jobs by queue and name', async (t) => {
    await mill.addJobs([
      { name: 'n', queue: 'i' },
      { name: 'n', queue: 'i' },
      { name: 'n', queue: 'i', runAt: new Date(Date.now() + day) },
      { name: 'm', queue: 'i' },
    ]);
    const job = await mill.getJob({ worker: 'w', queues: ['i'], names: ['m'] });
    if (!job) return t.fail('a job');
    await mill.completeJobs([job]);
    await sql(`update pgmill.ready set run_at = clock_timestamp() - interval '2 hours' where queue = 'i'`);
    const rows = (await mill.insights()).filter(({ queue }) => queue === 'i');
    const none = { ready: 0, scheduled: 0, retrying: 0, running: 0, completed: 0, failed: 0, cancelled: 0 };
    t.match(
      rows.find(({ name }) => name === 'n'),
      { ...none, ready: 2, scheduled: 1, averageWait: null, averageRun: null },
    );
    const age = rows.find(({ name }) => name === 'n')?.oldestReadyAge ?? 0;
    t.ok(age > 119 * minute && age < 121 * minute, `${age} ms`);
    const done = rows.find(({ name }) => name === 'm');
    t.match(done, { ...none, completed: 1, oldestReadyAge: null, averageWait: Number, averageRun: Number });
  });

  t.test('tells the average time to completion in milliseconds', async (t) => {
    const from = new Date(Date.now() - minute);
    const to = new Date(Date.now() + minute);
    await sql(`update pgmill.finished set run_at = finished_at - interval '1 month 2 hours' where name = 'm'`);
    const [stored] = await mill.findJobs({ name: 'm' });
    const expected = (stored?.finishedAt?.getTime() ?? 0) - (stored?.runAt.getTime() ?? 0);
    const average = (await mill.averageTimeToCompletion(from, to, { names: ['m'] })) ?? 0;
    t.ok(Math.abs(average - expected) < 2, `${average} against ${expected}`);
    t.equal(await mill.averageTimeToCompletion(from, to, { names: ['none'] }), null);
    t.equal(await mill.averageTimeToCompletion(new Date(0), new Date(1)), null);
  });
});

t.test('does not depend on the type parsers or the time zone of the pool', async (t) => {
  const { url } = await testDatabase(t);
  const { default: pg } = await import('pg');
  const types = { getTypeParser: () => (value: string) => `odd ${value}` } as unknown as typeof pg.types;
  const odd = new pg.Pool({ connectionString: url, options: '-c timezone=Asia/Kathmandu -c datestyle=German' });
  t.teardown(() => odd.end());
  const original = [20, 1184, 1186].map((oid) => [oid, pg.types.getTypeParser(oid)] as const);
  for (const [oid] of original) pg.types.setTypeParser(oid, types.getTypeParser(oid) as never);
  t.teardown(() => {
    for (const [oid, parser] of original) pg.types.setTypeParser(oid, parser as never);
  });
  const mill = new PgMill({ pool: odd });
  const runAt = new Date('2040-02-03T04:05:06.789Z');
  const id = await mill.addJob('odd', {}, { runAt, timeout: 1234 });
  t.match(id, /^\d+$/);
  t.match(await mill.findJob(id), { id, runAt, timeout: 1234, retryBase: minute });
  await mill.close();
});

t.test('every parameter of every function can be given, with its own type', async (t) => {
  const { sql } = await testDatabase(t);
  const mill = new PgMill({ connectionString: 'postgres://nobody@localhost:1/none' });
  t.teardown(() => mill.close());
  const sent = new Map<string, string>();
  const tx = {
    async query(text: string) {
      const [, name = '', args = ''] =
        /(?:^select (?:date_part\('epoch', )?| from )pgmill\.(\w+)\(([^)]*)\)(?:$|.* as "value"$)/.exec(text) ?? [];
      sent.set(name, args);
      throw new Error('not sent');
    },
  };
  const time = new Date();
  const lease = { id: '1', token: '00000000-0000-4000-8000-000000000000' };
  const job = {
    queue: 'q',
    priority: 1,
    runAt: time,
    maxAttempts: 1,
    timeout: 1,
    retryBase: 1,
    retryMax: 1,
    uniqueKey: 'k',
    onDuplicate: 'skip' as const,
  };
  const filter = { queues: ['q'], names: ['n'], exceptNames: ['n'] };
  const claim = { worker: 'w', ...filter, lease: 1, unordered: true };
  const range = { runFrom: time, runUntil: time };
  const ending = { retryIn: 1, final: true, reason: 'error' as const };
  const { queue, priority, maxAttempts, timeout, retryBase, retryMax } = job;
  const settings = { queue, priority, maxAttempts, timeout, retryBase, retryMax };
  const cron = { jobName: 'n', payload: 1, timezone: 'UTC', missed: 'once' as const, overlap: true, ...settings };
  const every: unknown = { months: 1 };
  const calls: [string, () => Promise<unknown>][] = [
    ['add_job', () => mill.addJob('n', {}, { ...job, tx })],
    ['add_jobs', () => mill.addJobs([{ name: 'n', payload: {}, ...job }], { tx })],
    ['get_jobs', () => mill.getJobs({ ...claim, maxJobs: 1, tx })],
    ['get_job', () => mill.getJob({ ...claim, tx })],
    ['complete_job', () => mill.completeJob('1', lease.token, { result: 1, keep: true, tx })],
    ['complete_jobs', () => mill.completeJobs([{ ...lease, result: 1 }], { keep: true, tx })],
    ['fail_job', () => mill.failJob('1', lease.token, 'e', { ...ending, tx })],
    ['fail_jobs', () => mill.failJobs([{ ...lease, error: 'e', ...ending }], { tx })],
    ['extend_leases', () => mill.extendLeases([lease], { lease: 1, tx })],
    ['release_jobs', () => mill.releaseJobs([lease], { tx })],
    ['snooze_job', () => mill.snoozeJob('1', lease.token, time, { tx })],
    ['reclaim', () => mill.reclaim({ maxJobs: 1, tx })],
    ['next_run_at', () => mill.nextRunAt({ ...filter, tx })],
    ['tick', () => mill.tick({ tx })],
    ['enter_sleep', () => mill.enterSleep(['q'], { tx })],
    ['leave_sleep', () => mill.leaveSleep({ tx })],
    ['insights', () => mill.insights({ tx })],
    ['average_time_to_completion', () => mill.averageTimeToCompletion(time, time, { names: ['n'], tx })],
    ['find_job', () => mill.findJob('1', { tx })],
    [
      'find_jobs',
      () =>
        mill.findJobs({
          state: 'ready',
          queue: 'q',
          name: 'n',
          uniqueKey: 'k',
          ...range,
          maxJobs: 1,
          afterId: '1',
          tx,
        }),
    ],
    ['cancel_job', () => mill.cancelJob('1', { tx })],
    [
      'cancel_jobs',
      () => mill.cancelJobs({ name: 'n', queue: 'q', priority: 1, runAt: time, ...range, uniqueKey: 'k', tx }),
    ],
    ['retry_job', () => mill.retryJob('1', { tx })],
    ['retry_jobs', () => mill.retryJobs({ name: 'n', queue: 'q', state: 'failed', ...range, maxJobs: 1, tx })],
    [
      'update_job',
      () =>
        mill.updateJob(
          '1',
          { payload: 1, priority: 1, runAt: time, maxAttempts: 1, timeout: 1, retryBase: 1, retryMax: 1 },
          { tx },
        ),
    ],
    ['cleanup', () => mill.cleanup({ completedAfter: 1, failedAfter: 1, cancelledAfter: 1, tx })],
    [
      'cron_upsert',
      () => mill.cronUpsert('c', { expression: '@daily', ...cron, owner: 'o', every: every as never, tx }),
    ],
    ['cron_sync', () => mill.registerCronJobs([{ name: 'c', expression: '@daily', ...cron }], { owner: 'o', tx })],
    ['cron_remove', () => mill.cronRemove('c', { tx })],
    ['cron_pause', () => mill.cronPause('c', { tx })],
    ['cron_resume', () => mill.cronResume('c', { tx })],
    ['cron_next', () => mill.cronNext('@daily', time, 'UTC', { tx })],
    ['find_crons', () => mill.findCrons({ tx })],
  ];
  const declared = await sql<{ name: string; args: string }>(
    `select p.proname as name,
            (select coalesce(string_agg(a.name || ' ' || format_type(a.type, null), ', ' order by a.name), '')
             from unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) a(name, type, mode)
             where coalesce(a.mode, 'i') in ('i', 'b')) as args
     from pg_proc p where p.pronamespace = 'pgmill'::regnamespace`,
  );
  for (const [name, call] of calls) {
    await t.rejects(call(), { message: 'not sent' }, `${name} is called`);
    const args = (sent.get(name) ?? '').split(', ').filter((arg) => arg !== '');
    const given = args.map((arg) =>
      arg.replace(/^"?(\w+)"? => \$\d+::(.+)$/, '$1 $2').replace('timestamptz', 'timestamp with time zone'),
    );
    const sorted = given
      .map((arg) => arg.replace(/ int$/, ' integer'))
      .sort()
      .join(', ');
    t.equal(sorted, declared.find((one) => one.name === name)?.args ?? 'no such function', name);
  }

  const granted = await sql<{ name: string }>(
    `select distinct p.proname as name from pg_proc p, aclexplode(p.proacl) a
     join pg_roles r on r.oid = a.grantee and r.rolname like 'pgmill\\_%'
     where p.pronamespace = 'pgmill'::regnamespace`,
  );
  const names = granted.map(({ name }) => name);
  t.strictSame(names.sort(), calls.map(([name]) => name).sort(), 'every function has a method');
});
