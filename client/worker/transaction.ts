import type pg from 'pg';
import { TransactionContext } from './context.js';
import type { Held } from './held.js';
import type { Loan } from './loan.js';
import { settleError } from './run-job.js';
import type { Runner } from './runner.js';
import { backoff } from './sleep.js';

const notOpen = 'The handler ended the transaction of its job, or went on after an error in it.';

/**
 * Runs the handler of a transactional job: what it writes with ctx.tx and the completion of the job are committed
 * together or not at all. The transaction begins when the handler starts.
 */
export async function runInTransaction(held: Held, runner: Runner): Promise<void> {
  const loan = await begin(held, runner);
  if (loan) await run(held, runner, loan);
  runner.end(held);
}

/** Waits for as long as there is no connection to be had; undefined: the job was given back meanwhile. */
async function begin(held: Held, runner: Runner): Promise<Loan | undefined> {
  for (let failures = 0; !held.settled; failures++) {
    try {
      const loan = await runner.connections.begin();
      if (!held.settled) return loan;
      await loan.giveBack();
    } catch (error) {
      runner.events.emit('error', error);
      await runner.pause.wait(backoff(failures));
    }
  }
  return undefined;
}

async function run(held: Held, runner: Runner, loan: Loan): Promise<void> {
  // A job that may not go on loses its connection, and with it the transaction: even a handler that does not listen to
  // its signal can write nothing more, and holds no locks.
  held.onStop = (code) => {
    if (code !== 'cancelled' && !held.committing) loan.cut();
  };
  runner.begin(held);
  let ended: () => void;
  try {
    const result = await held.handler.run(held.payload, new TransactionContext(held, runner, loan.client));
    if (!held.settled) await commit(held, runner, loan, result);
    ended = () => runner.settle.completed(held, result);
  } catch (error) {
    ended = () => settleError(held, runner, error);
  }
  // A failure is recorded after the transaction and outside of it. If only the answer to the commit was lost, and the
  // job is completed after all, the database refuses the failure.
  await loan.giveBack();
  held.onStop = undefined;
  if (!held.settled) ended();
}

/**
 * For ctx.complete(): a transaction at the end of an ordinary handler, which completes the job. It is short, because it
 * begins when the work is done.
 */
export async function completeInTransaction(
  held: Held,
  runner: Runner,
  write: (tx: pg.ClientBase) => unknown,
): Promise<void> {
  held.throwIfStopped();
  const loan = await runner.connections.begin();
  held.onStop = (code) => {
    if (code !== 'cancelled' && !held.committing) loan.cut();
  };
  let result: unknown;
  try {
    result = await write(loan.client);
    held.throwIfStopped();
    await commit(held, runner, loan, result);
  } finally {
    await loan.giveBack();
    held.onStop = undefined;
    held.committing = false;
  }
  if (!held.settled) runner.settle.completed(held, result);
}

async function commit(held: Held, runner: Runner, loan: Loan, result: unknown): Promise<void> {
  const { client } = loan;
  if (client.getTransactionStatus() !== 'T') throw new Error(notOpen);
  held.committing = true;
  const { id, token } = held;
  try {
    await loan.answered(runner.mill.completeJob(id, token, { result, keep: held.handler.keep, tx: client }));
  } catch (error) {
    // Aborted, which pg may have heard only now.
    throw (error as { code?: unknown }).code === '25P02' ? new Error(notOpen) : error;
  }
  await loan.answered(client.query('commit'));
}
