import { EventEmitter } from 'node:events';
import type { PgMill } from '../pgmill.js';
import type { AnyJobs, JobName } from '../types.js';
import { drain, within } from './drain.js';
import { type RunCounts, safeEmitter, type WorkerEvents } from './events.js';
import type { RunOnceOptions } from './options.js';
import { Runner } from './runner.js';
import { readSettings } from './settings.js';
import { Sleep } from './sleep.js';

/** How long to wait for the database to record the last endings, in milliseconds, before the last look for jobs. */
const settlePatience = 1000;

export type { RunCounts } from './events.js';

/**
 * Runs the jobs that are ready, and those they add, up to `limit` or until `deadline`; then returns the counts. Leaves no
 * connection and no timer behind. An error of the database ends it.
 */
export async function runOnce<
  Jobs = AnyJobs,
  Names extends JobName<Jobs> = JobName<Jobs>,
  Except extends JobName<Jobs> = never,
>(mill: PgMill<Jobs>, options: RunOnceOptions<Jobs, Names, Except>): Promise<RunCounts> {
  const settings = readSettings(options, 'limit deadline');
  const { limit, deadline, stopTimeout, logger } = settings;
  const end = performance.now() + deadline;
  const sleep = new Sleep();
  const runner = new Runner({
    mill: mill as unknown as PgMill,
    settings,
    events: safeEmitter(new EventEmitter<WorkerEvents>(), logger),
    onFree: () => setImmediate(() => sleep.wake()),
    onReturn: () => {},
  });
  const { slots, counts } = runner;
  try {
    runner.heartbeat.start();
    await Promise.all([mill.tick({ tx: runner.connections.claiming }), runner.connections.settling.open()]);
    let settled = false;
    while (counts.claimed < limit && performance.now() < end) {
      const { wakes } = sleep;
      const room = Math.min(settled ? slots.room() : runner.room(), limit - counts.claimed);
      const got = room > 0 ? await runner.claim(room) : 0;
      if (got > 0) settled = false;
      else if (slots.running.size > 0) await sleep.wait(end - performance.now(), wakes);
      else if (settled) break;
      else {
        // A job that failed may be ready again when that is recorded: one more look, then.
        await within(Math.min(settlePatience, end - performance.now()), runner.settle.idle());
        settled = true;
      }
    }
    await within(end - performance.now(), slots.empty());
  } finally {
    await drain(runner, stopTimeout);
  }
  return counts;
}
