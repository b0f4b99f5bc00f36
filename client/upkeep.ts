import { sqlFunction } from './statement.js';
import type { Tx, TxOption } from './types.js';
import { WorkerCalls } from './worker-calls.js';
import type { JobFilter } from './worker-types.js';

export interface TickedTask {
  /** What was done: `reclaim`, `ring`, `partitions` and so on. */
  task: string;
  /** To how many jobs, or partitions. */
  changed: number;
}

const filter = { queues: 'texts', names: 'texts', exceptNames: 'texts' } as const;

const reclaim = sqlFunction<{ value: number }>({
  name: 'reclaim',
  required: {},
  optional: { maxJobs: 'int' },
  columns: { value: 'count' },
});
const nextRunAt = sqlFunction<{ value: Date | null }>({
  name: 'next_run_at',
  required: {},
  optional: filter,
  columns: { value: 'time' },
});
const untilNextRun = sqlFunction<{ value: number | null }>({ ...nextRunAt, columns: { value: 'untilNow' } });
const tick = sqlFunction<TickedTask>({ name: 'tick', required: {}, columns: { task: 'plain', changed: 'count' } });
const enterSleep = sqlFunction<{ value: unknown }>({
  name: 'enter_sleep',
  required: { queues: 'texts' },
  columns: { value: 'plain' },
});
const leaveSleep = sqlFunction<{ value: unknown }>({
  name: 'leave_sleep',
  required: {},
  columns: { value: 'plain' },
});

/** The functions of sql/worker/ that no single job is about. */
export class Upkeep<Jobs> extends WorkerCalls<Jobs> {
  /** Takes back jobs whose lease ran out, `maxJobs` (1000) at most; returns how many. `tick` does it too. */
  async reclaim({ tx, ...options }: { maxJobs?: number | undefined } & TxOption = {}): Promise<number> {
    return this.callForValue(reclaim, options, tx);
  }

  /** When the earliest scheduled job is due; null when none is scheduled. */
  async nextRunAt({ tx, ...options }: JobFilter<Jobs> & TxOption = {}): Promise<Date | null> {
    return this.callForValue(nextRunAt, options, tx);
  }

  /** The same in milliseconds from now by the database's clock, negative when it is due; null when none is scheduled. */
  async millisUntilNextRun({ tx, ...options }: JobFilter<Jobs> & TxOption = {}): Promise<number | null> {
    return this.callForValue(untilNextRun, options, tx);
  }

  /** All upkeep in one call, safe from any number of callers; returns the tasks that found something to do. */
  async tick({ tx }: TxOption = {}): Promise<TickedTask[]> {
    return this.call(tick, {}, tx);
  }

  /**
   * Asks for a notification (channel `pgmill`) whenever a job is put into one of the queues; look for jobs once more
   * afterwards. `tx` is a connection that does nothing else. Fails with 55P03 after 5 seconds behind an adder.
   */
  async enterSleep(queues: readonly string[], { tx }: { tx: Tx }): Promise<void> {
    await this.callForValue(enterSleep, { queues }, tx);
  }

  /** Ends enterSleep, on the same connection. */
  async leaveSleep({ tx }: { tx: Tx }): Promise<void> {
    await this.callForValue(leaveSleep, {}, tx);
  }
}
