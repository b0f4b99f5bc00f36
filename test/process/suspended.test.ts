// A process is suspended until its leases have run out, and its jobs are done by another. Then it wakes up.
import t from 'tap';
import { open, until } from '../client/worker-help.js';
import { Child } from './child.js';

t.test('every verb answers lease_lost, and nothing changes', async (t) => {
  const { mill, sql, url } = await open(t);
  await mill.addJobs(Array.from({ length: 6 }, () => ({ name: 'job', retryBase: 0 })));
  const child = new Child(t, 'holder.ts', url);
  t.equal(await child.line(), 'held');
  child.process.kill('SIGSTOP');
  await until('the leases have run out', async () => {
    await mill.reclaim();
    return (await sql('select from pgmill.running')).length === 0;
  });
  const others = await until('another has the jobs', async () => {
    const jobs = await mill.getJobs({ worker: 'other', maxJobs: 6 });
    return jobs.length === 6 && jobs;
  });
  await mill.completeJobs(others.slice(0, 2)); // two are done, four still run
  const before = await sql('select * from pgmill.job order by id');
  child.process.kill('SIGCONT');
  child.say('go');
  const lost = (index: number) => ({ id: others[index]?.id, outcome: 'lease_lost' });
  t.strictSame(JSON.parse(await child.line()), {
    complete: 'PM002',
    completeMany: [lost(1)],
    fail: { state: 'lease_lost', runAt: null },
    extend: [lost(3)],
    release: [lost(4)],
    snooze: { state: 'lease_lost', runAt: null },
  });
  t.strictSame(await sql('select * from pgmill.job order by id'), before);
});

t.test('a worker gives up its job, and what its transactional handler wrote is rolled back', async (t) => {
  const { mill, sql, url, state } = await open(t);
  await sql('create table ledger (id bigint, attempt int, pid int)');
  const id = await mill.addJob('ledger', { wait: 2000 }, { retryBase: 0 });
  const child = new Child(t, 'worker.ts', url, { LEASE: '500' });
  await until('the handler has written', async () => (await child.line()) === 'written');
  child.process.kill('SIGSTOP');
  await until('its lease ran out', async () => (await mill.reclaim()) === 1);
  const other = mill.worker({
    handlers: {
      ledger: {
        transactional: true,
        handler: (_payload, { tx, job }) => tx.query('insert into ledger values ($1, $2, 0)', [job.id, job.attempt]),
      },
    },
  });
  await other.start();
  await until('another worker has done it', async () => (await state(id)) === 'completed');
  await other.stop();
  const before = await sql('select * from pgmill.job');
  child.process.kill('SIGCONT');
  child.say('stop');
  const last = await until('it has stopped', async () => {
    const line = await child.line();
    return line.startsWith('{') && line;
  });
  t.strictSame(JSON.parse(last), { lost: [id] });
  t.strictSame(await sql('select id::text, attempt, pid from ledger'), [{ id, attempt: 2, pid: 0 }]);
  t.strictSame(await sql('select * from pgmill.job'), before);
});
