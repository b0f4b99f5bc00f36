import { sqlFunction } from './statement.js';
import type { JobName, TxOption } from './types.js';
import { Upkeep } from './upkeep.js';

/** The jobs of one queue and name. Durations are milliseconds. */
export interface Insight {
  queue: string;
  name: string;
  /** May run now. */
  ready: number;
  /** Wait for their time, and were never attempted. */
  scheduled: number;
  /** Wait for their next attempt. */
  retrying: number;
  running: number;
  completed: number;
  failed: number;
  cancelled: number;
  /** How long the oldest ready job waits; null when none is ready. */
  oldestReadyAge: number | null;
  /** From run_at to the claim, over the jobs that ended in the last hour; null when none did. */
  averageWait: number | null;
  /** From the claim to the end, over the same jobs. */
  averageRun: number | null;
}

const insights = sqlFunction<Insight>({
  name: 'insights',
  required: {},
  columns: {
    queue: 'plain',
    name: 'plain',
    ready: 'count',
    scheduled: 'count',
    retrying: 'count',
    running: 'count',
    completed: 'count',
    failed: 'count',
    cancelled: 'count',
    oldestReadyAge: 'duration',
    averageWait: 'duration',
    averageRun: 'duration',
  },
});
const averageTimeToCompletion = sqlFunction<{ value: number | null }>({
  name: 'average_time_to_completion',
  required: { from: 'time', to: 'time' },
  optional: { names: 'texts' },
  columns: { value: 'duration' },
});

/** The functions of sql/observer/: they show neither payloads nor error texts. */
export class Observer<Jobs> extends Upkeep<Jobs> {
  /** How many jobs there are, and how long they take: a row for each queue and name. */
  async insights({ tx }: TxOption = {}): Promise<Insight[]> {
    return this.call(insights, {}, tx);
  }

  /**
   * The average time from `run_at` to the end of the jobs that completed in [from, to), in milliseconds; null when
   * none did. `names` limits it to those jobs.
   */
  async averageTimeToCompletion(
    from: Date,
    to: Date,
    { tx, ...options }: { names?: readonly JobName<Jobs>[] | undefined } & TxOption = {},
  ): Promise<number | null> {
    return this.callForValue(averageTimeToCompletion, { ...options, from, to }, tx);
  }
}
