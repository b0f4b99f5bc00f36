import type pg from 'pg';
import { TransactionContext } from './context.js';
import type { Held } from './held.js';
import { settleError } from './run-job.js';
import type { Runner } from './runner.js';
import { backoff } from './sleep.js';

/**
 * Runs the handler of a transactional job: what it writes with ctx.tx and the completion of the job are committed
 * together or not at all. The transaction begins when the handler starts.
 */
export async function runInTransaction(held: Held, runner: Runner): Promise<void> {
  const client = await begin(held, runner);
  if (client) await run(held, runner, client);
  runner.end(held);
}

async function run(held: Held, runner: Runner, client: pg.PoolClient): Promise<void> {
  runner.begin(held);
  let gone = false;
  // A job that may not go on loses its connection, and with it the transaction: even a handler that does not listen to
  // its signal can write nothing more, and holds no locks.
  held.onStop = (code) => {
    if (gone || held.committing || code === 'cancelled') return;
    gone = true;
    client.release(true);
  };
  let error: unknown;
  let ok = false;
  try {
    const result = await held.handler.run(held.job.payload, new TransactionContext(held, runner, client));
    if (!held.settled) await commit(held, runner, client, result);
    ok = true;
  } catch (thrown) {
    error = thrown;
  }
  held.onStop = undefined;
  if (!gone) await giveBack(client);
  // Outside of the transaction, and after it. If the answer to the commit got lost and the job is completed after
  // all, the database refuses this.
  if (!ok && !held.settled) settleError(held, runner, error);
}

/** A connection in a transaction. Waits for as long as there is none to be had; undefined: the job was given back. */
async function begin(held: Held, runner: Runner): Promise<pg.PoolClient | undefined> {
  for (let failures = 0; !held.settled; failures++) {
    let client: pg.PoolClient | undefined;
    try {
      client = await runner.transactions.connect();
      client.on('error', ignore);
      await client.query('begin');
      if (!held.settled) return client;
      await giveBack(client);
    } catch (error) {
      client?.release(true);
      runner.events.emit('error', error);
      await runner.pause.wait(backoff(failures));
    }
  }
  return undefined;
}

async function commit(held: Held, runner: Runner, client: pg.PoolClient, result: unknown): Promise<void> {
  if (client.getTransactionStatus() !== 'T') {
    throw new Error('The handler ended the transaction of its job, or went on after an error in it.');
  }
  held.committing = true;
  const { id, token } = held.job;
  await runner.mill.completeJob(id, token, { result, keep: held.handler.keep, tx: client });
  await client.query('commit');
  runner.settle.completed(held, result);
}

/** Rolls back where that is needed, and returns the connection to its pool. */
async function giveBack(client: pg.PoolClient): Promise<void> {
  try {
    if (client.getTransactionStatus() !== 'I') await client.query('rollback');
    client.off('error', ignore);
    client.release();
  } catch {
    client.release(true);
  }
}

/** A connection that breaks fails the call that uses it; the event alone must not end the process. */
function ignore() {}
