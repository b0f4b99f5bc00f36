import type { Runner } from './runner.js';

/** How long the database has to answer at the very end, in milliseconds. */
const lastWords = 2000;

/**
 * Ends a runner: gives back what has not started, lets the rest run for so long, then aborts it and gives it back too.
 * Never waits longer, neither for a handler nor for a database that is away.
 */
export async function drain(runner: Runner, timeout: number): Promise<void> {
  const deadline = performance.now() + timeout;
  runner.releaseUnstarted();
  await within(timeout, runner.slots.empty());

  for (const held of runner.slots.running) {
    if (held.settled || held.committing) continue;
    runner.settle.release(held);
    held.stop('shutdown');
  }
  const committing = [...runner.slots.running].some((held) => held.committing);
  const left = Math.max(deadline - performance.now(), lastWords);
  if (committing) await within(left, runner.slots.empty());
  await within(left, runner.settle.idle());

  const lost = runner.settle.abandon();
  if (lost > 0) {
    const message = `The database did not answer in time: the outcomes of ${lost} jobs are not recorded, and their leases run out.`;
    runner.events.emit('error', new Error(message));
  }
  runner.stopTimers();
  await within(lastWords, runner.connections.close());
}

/** Waits for it, but no longer than so many milliseconds. */
export async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1));
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
