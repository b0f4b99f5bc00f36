// A worker as a process of its own. It says `ready`, and its last words when it is told to stop.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgMill } from '../../client/index.js';

interface Jobs {
  /** Writes a line into the ledger in the transaction of its completion. */
  ledger: { wait?: number };
  /** Notes that it ran, and kills its process. */
  killer: undefined;
}

const mill = new PgMill<Jobs>({ connectionString: process.env['DATABASE_URL'] });
const lost: string[] = [];
const worker = mill.worker({
  concurrency: Number(process.env['CONCURRENCY'] ?? 8),
  lease: Number(process.env['LEASE'] ?? 2000),
  handlers: {
    ledger: {
      transactional: true,
      handler: async ({ wait }, { tx, job }) => {
        await tx.query('insert into ledger (id, attempt, pid) values ($1, $2, $3)', [job.id, job.attempt, process.pid]);
        if (wait !== undefined) {
          console.log('written');
          await sleep(wait);
        }
      },
    },
    killer: async (_payload, { job }) => {
      await mill.pool.query('insert into ledger (id, attempt, pid) values ($1, $2, $3)', [
        job.id,
        job.attempt,
        process.pid,
      ]);
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => {});
    },
  },
});
worker.on('lease:lost', ({ id }) => lost.push(id));
worker.on('error', () => {});
await worker.start();
console.log('ready');
await once(process.stdin, 'data');
await worker.stop();
console.log(JSON.stringify({ lost }));
await mill.close();
process.stdin.destroy();
