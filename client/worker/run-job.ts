import { JobContext, type TransactionContext } from './context.js';
import type { Held } from './held.js';
import { SnoozeError } from './reasons.js';
import type { Runner } from './runner.js';

/** Runs the handler of an ordinary job. No connection is in use while it runs. */
export function runJob(held: Held, runner: Runner): void {
  runner.begin(held);
  let answer: unknown;
  try {
    answer = held.handler.run(held.payload, new JobContext(held, runner) as TransactionContext);
  } catch (error) {
    failed(held, runner, error);
    return;
  }
  if (typeof (answer as PromiseLike<unknown> | undefined)?.then === 'function') {
    (answer as PromiseLike<unknown>).then(
      (result) => succeeded(held, runner, result),
      (error) => failed(held, runner, error),
    );
  } else succeeded(held, runner, answer);
}

function succeeded(held: Held, runner: Runner, result: unknown): void {
  // Settled already: it ran out of time, lost its lease or was given back, and this is too late.
  if (!held.settled) runner.settle.complete(held, result);
  runner.end(held);
}

function failed(held: Held, runner: Runner, error: unknown): void {
  if (!held.settled) settleError(held, runner, error);
  runner.end(held);
}

/** What a thrown error means: come back later, failed for good, or failed. */
export function settleError(held: Held, runner: Runner, error: unknown): void {
  if (error instanceof SnoozeError) runner.settle.snooze(held, wakeTime(held, error.until, runner.settings.lease));
  else runner.settle.fail(held, error, 'error', (error as { final?: unknown } | null | undefined)?.final === true);
}

/** The job ran out of time: recorded at once, whatever the handler does. It keeps its slot until it ends. */
export function timeOut(held: Held, runner: Runner): void {
  const message = `The job ran out of time (${Math.round(held.deadline - held.startedAt)} ms).`;
  runner.settle.fail(held, message, 'timeout');
  held.stop('timeout', message);
}

/** Milliseconds from now by the database's clock, which was read when the job was claimed. */
function wakeTime({ claim }: Held, until: Date | number, lease: number): Date {
  if (typeof until !== 'number') return until;
  return new Date(claim.leaseUntil - lease + (performance.now() - claim.at) + until);
}
