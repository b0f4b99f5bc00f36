import { type MigrateResult, migrate } from './migrate.js';
import { Schedule } from './schedule.js';
import type { AnyJobs, JobName } from './types.js';
import type { RunOnceOptions, WorkerOptions } from './worker/options.js';
import { type RunCounts, runOnce } from './worker/run-once.js';
import { Worker } from './worker/worker.js';

/**
 * The client. It has one method for each SQL function, of the same name in camel case, in the order of sql/README.md.
 *
 * The methods lie in the classes it extends, a file for each folder of sql/: Connection (query.ts), Producer,
 * WorkerCalls and Upkeep (sql/worker/), Observer, Admin, Schedule.
 */
export class PgMill<Jobs = AnyJobs> extends Schedule<Jobs> {
  /** A worker that runs jobs until `stop()`; it does nothing before `start()`. */
  worker<Names extends JobName<Jobs> = JobName<Jobs>, Except extends JobName<Jobs> = never>(
    options: WorkerOptions<Jobs, Names, Except>,
  ): Worker<Jobs> {
    return new Worker(this, options);
  }

  /** Works while there are jobs, within limits, and returns the counts: for serverless functions. */
  runOnce<Names extends JobName<Jobs> = JobName<Jobs>, Except extends JobName<Jobs> = never>(
    options: RunOnceOptions<Jobs, Names, Except>,
  ): Promise<RunCounts> {
    return runOnce(this, options);
  }

  /** Installs pgmill in the database, or brings it up to date; safe to repeat, and in many processes at once. */
  migrate(): Promise<MigrateResult> {
    return migrate({ pool: this.pool });
  }
}
