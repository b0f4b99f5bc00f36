import type { JobName } from '../types.js';
import type { NameFilter } from './handlers.js';

/** Options of mill.worker() and mill.runOnce(). Durations are milliseconds. */
export interface CommonOptions {
  /**
   * How many jobs run at a time.
   * @default 10
   */
  concurrency?: number | undefined;
  /**
   * Take jobs of these queues.
   * @default ['default']
   */
  queues?: readonly string[] | undefined;
  /**
   * How long a job may take when neither the job nor its handler says.
   * @default 30_000
   */
  timeout?: number | undefined;
  /**
   * How long a job stays ours without a sign of life. Leases are renewed after a third of it, so it is only how soon
   * others take over the jobs of a process that died.
   * @default 30_000
   */
  lease?: number | undefined;
  /**
   * False: forget completed jobs instead of keeping them with their results.
   * @default true
   */
  keep?: boolean | undefined;
  /**
   * True: take jobs in any order, which costs the database less.
   * @default false: by priority, run_at, id
   */
  unordered?: boolean | undefined;
  /**
   * Jobs claimed ahead, besides those that run. They are given back when the worker stops; when the process dies each
   * has lost an attempt.
   * @default as many as finish within 50 ms, going by the last jobs: none while jobs are slow, at most 1000
   */
  prefetch?: number | undefined;
  /**
   * How long jobs may still run after stop(), or after the deadline of runOnce(), before they are aborted and given back.
   * @default 30_000
   */
  stopTimeout?: number | undefined;
  /**
   * Who holds the leases, for those who look into the database.
   * @default host name, process id and a random part
   */
  workerId?: string | undefined;
  /**
   * Where errors go that no listener takes.
   * @default console
   */
  logger?: Pick<Console, 'error' | 'warn'> | undefined;
}

export interface WorkerTimes {
  /**
   * The longest time between two looks for jobs while there are none.
   * @default 1_500
   */
  pollInterval?: number | undefined;
  /**
   * Be told of new jobs by the database. Turned off by itself where that does not work (a transaction pooler); then only
   * pollInterval counts.
   * @default true
   */
  listen?: boolean | undefined;
}

export interface RunOnceLimits {
  /**
   * Take at most so many jobs.
   * @default 1_000
   */
  limit?: number | undefined;
  /**
   * After this many milliseconds nothing new is started.
   * @default none
   */
  deadline?: number | undefined;
}

export type WorkerOptions<
  Jobs,
  Names extends JobName<Jobs> = JobName<Jobs>,
  Except extends JobName<Jobs> = never,
> = CommonOptions & WorkerTimes & NameFilter<Jobs, Names, Except>;

export type RunOnceOptions<
  Jobs,
  Names extends JobName<Jobs> = JobName<Jobs>,
  Except extends JobName<Jobs> = never,
> = CommonOptions & RunOnceLimits & NameFilter<Jobs, Names, Except>;
