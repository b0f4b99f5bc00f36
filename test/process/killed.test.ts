// Worker processes that are killed: no job is lost, none is done twice, and none runs more often than it may.
import t from 'tap';
import { open, until } from '../client/worker-help.js';
import { Child } from './child.js';

t.test('8 processes, 20,000 jobs, two killed with -9: each job is in the ledger exactly once', async (t) => {
  const { mill, sql, url } = await open(t);
  // No unique index: it would hide what this is to find.
  await sql('create table ledger (id bigint, attempt int, pid int)');
  const jobs = 20_000;
  for (let added = 0; added < jobs; added += 5000) {
    await mill.addJobs(Array.from({ length: 5000 }, () => ({ name: 'ledger', maxAttempts: 5, retryBase: 50 })));
  }
  const children = Array.from({ length: 8 }, () => new Child(t, 'worker.ts', url));
  await Promise.all(children.map((child) => child.line()));
  const done = async () => (await sql('select count(*)::int as n from ledger'))[0].n as number;

  for (const [index, after] of [
    [0, jobs / 10],
    [1, jobs / 3],
  ] as const) {
    await until(`${after} are done`, async () => (await done()) >= after, 60_000);
    const { pid } = children[index]?.process ?? {};
    await until('it holds a job', async () => {
      const rows = await sql(`select from pgmill.running where worker like '%:' || $1 || ':%'`, [pid]);
      if (rows.length === 0) return false;
      children[index]?.process.kill('SIGKILL');
      return true;
    });
  }
  await until('all are done', async () => (await done()) >= jobs, 60_000);
  await until('nothing runs', async () => (await sql('select from pgmill.running')).length === 0);

  const [ledger] = await sql(
    'select count(*)::int as n, count(distinct id)::int as jobs, count(distinct pid)::int as pids from ledger',
  );
  t.strictSame(ledger, { n: jobs, jobs, pids: 8 });
  const states = await sql(
    'select state, count(*)::int as n, max(attempts) <= 5 as within from pgmill.job group by state',
  );
  t.strictSame(states, [{ state: 'completed', n: jobs, within: true }]);
  const [expired] = await sql(
    `select count(*)::int as n from pgmill.finished where errors @> '[{"reason": "lease_expired"}]' and attempts > 1`,
  );
  t.ok(expired.n > 0, `${expired.n} jobs were taken back from the dead`);

  for (const child of children.slice(2)) {
    child.say('stop');
    t.strictSame(JSON.parse(await child.line()), { lost: [] });
  }
});

t.test('a job that kills its worker runs max_attempts times at most, and the others go on', async (t) => {
  const { mill, sql, url, state } = await open(t);
  await sql('create table ledger (id bigint, attempt int, pid int)');
  const killer = await mill.addJob('killer', {}, { maxAttempts: 2, retryBase: 10, priority: 1 });
  await mill.addJobs(Array.from({ length: 50 }, () => ({ name: 'ledger', maxAttempts: 9, retryBase: 10 })));
  const workers: Child[] = [];
  const ended = await until(
    'the killer has failed for good',
    async () => {
      // Someone restarts what dies, as a supervisor does, and a bystander does the upkeep.
      if (workers.every(({ process }) => process.exitCode !== null || process.signalCode !== null)) {
        workers.push(new Child(t, 'worker.ts', url, { LEASE: '500', CONCURRENCY: '2' }));
      }
      await mill.reclaim();
      return (await state(killer)) === 'failed' && (await sql('select from pgmill.running')).length === 0;
    },
    60_000,
  );
  t.ok(ended);
  const runs = await sql('select attempt from ledger where id = $1 order by attempt', [killer]);
  t.strictSame(runs, [{ attempt: 1 }, { attempt: 2 }]);
  const job = await mill.findJob(killer);
  t.match(job?.errors, [{ reason: 'lease_expired' }, { reason: 'lease_expired' }]);
  await until('the others are done', async () => {
    if (workers.every(({ process }) => process.exitCode !== null || process.signalCode !== null)) {
      workers.push(new Child(t, 'worker.ts', url, { LEASE: '500' }));
    }
    const [row] = await sql(
      `select count(*)::int as n from pgmill.finished where name = 'ledger' and state = 'completed'`,
    );
    return row.n === 50;
  });
});
