// Claims a job for each verb, waits for a word, and then tries to use the leases.
import { once } from 'node:events';
import { PgMill } from '../../client/index.js';

const mill = new PgMill({ connectionString: process.env['DATABASE_URL'] });
const [complete, completeMany, fail, extend, release, snooze] = await mill.getJobs({
  worker: 'suspended',
  maxJobs: 6,
  lease: 200,
});
if (!complete || !completeMany || !fail || !extend || !release || !snooze) throw new Error('six jobs are needed');
console.log('held');
await once(process.stdin, 'data');
const answers = {
  complete: await mill.completeJob(complete.id, complete.token).catch((error) => error.code),
  completeMany: await mill.completeJobs([completeMany]),
  fail: await mill.failJob(fail.id, fail.token, 'stale'),
  extend: await mill.extendLeases([extend]),
  release: await mill.releaseJobs([release]),
  snooze: await mill.snoozeJob(snooze.id, snooze.token, new Date(Date.now() + 60_000)),
};
console.log(JSON.stringify(answers));
await mill.close();
process.stdin.destroy();
