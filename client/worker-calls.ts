import { Producer } from './producer.js';
import type { Shape } from './rows.js';
import { sqlFunction, writeRows } from './statement.js';
import type { Job, Lease, LeasedJob, TxOption } from './types.js';
import type {
  Completed,
  CompleteJobOptions,
  Extended,
  Failed,
  Failure,
  FailureSettings,
  GetJobOptions,
  GetJobsOptions,
  KeepOption,
  LeaseOption,
  Released,
  Snoozed,
} from './worker-types.js';

const lease = { id: 'id', token: 'token' } as const;
const leases = { ids: 'ids', tokens: 'tokens' } as const;
const claim = {
  queues: 'texts',
  names: 'texts',
  exceptNames: 'texts',
  lease: 'duration',
  unordered: 'boolean',
} as const;
const failure = {
  required: { ...lease, error: 'errorText' },
  optional: { retryIn: 'duration', final: 'boolean', reason: 'text' },
} as const;

const job: Shape<LeasedJob> = {
  id: 'id',
  token: 'plain',
  queue: 'plain',
  name: 'plain',
  payload: 'plain',
  priority: 'plain',
  attempt: 'plain',
  maxAttempts: 'plain',
  runAt: 'time',
  createdAt: 'time',
  timeout: 'duration',
  leaseUntil: 'time',
  cron: 'cron',
};
const ending = { state: 'plain', runAt: 'time' } as const;
const outcome = { id: 'id', outcome: 'plain' } as const;

export const getJobs = sqlFunction<LeasedJob>({
  name: 'get_jobs',
  required: { worker: 'text', maxJobs: 'int' },
  optional: claim,
  columns: job,
});
const getJob = sqlFunction<LeasedJob>({ name: 'get_job', required: { worker: 'text' }, optional: claim, columns: job });
const completeJob = sqlFunction<{ value: unknown }>({
  name: 'complete_job',
  required: lease,
  optional: { result: 'json', keep: 'boolean' },
  columns: { value: 'plain' },
});
const completeJobs = sqlFunction<Completed>({
  name: 'complete_jobs',
  required: leases,
  optional: { results: 'json', keep: 'boolean' },
  columns: outcome,
});
const failJob = sqlFunction<Failed>({ name: 'fail_job', ...failure, columns: ending });
const failJobs = sqlFunction<Failed & { id: string }>({
  name: 'fail_jobs',
  required: { failures: 'writtenJson' },
  columns: { id: 'id', ...ending },
});
const extendLeases = sqlFunction<Extended>({
  name: 'extend_leases',
  required: leases,
  optional: { lease: 'duration' },
  columns: outcome,
});
const releaseJobs = sqlFunction<Released>({ name: 'release_jobs', required: leases, columns: outcome });
const snoozeJob = sqlFunction<Snoozed>({
  name: 'snooze_job',
  required: { ...lease, runAt: 'time' },
  columns: ending,
});

/** The functions of sql/worker/ that claim jobs and settle them. */
export class WorkerCalls<Jobs> extends Producer<Jobs> {
  /** Claims jobs: from commit on, the worker holds a lease on each. In the order priority, run_at, id. */
  async getJobs({ tx, ...options }: GetJobsOptions<Jobs>): Promise<Job<Jobs>[]> {
    return (await this.call(getJobs, options, tx)) as Job<Jobs>[];
  }

  /** Claims the most urgent job; undefined when there is nothing to do. */
  async getJob({ tx, ...options }: GetJobOptions<Jobs>): Promise<Job<Jobs> | undefined> {
    const [job] = await this.call(getJob, options, tx);
    return job as Job<Jobs> | undefined;
  }

  /**
   * Ends a job that is done. In a transaction of yours (`tx`), what else it wrote is there exactly when the job is
   * completed. Throws LeaseLostError or AlreadyCompletedError: then roll back.
   */
  async completeJob(id: string, token: string, { tx, ...options }: CompleteJobOptions = {}): Promise<void> {
    await this.callForValue(completeJob, { ...options, id, token }, tx);
  }

  /** Ends jobs that are done; a row for each, in their order. A lost lease changes nothing and does not throw. */
  async completeJobs(
    jobs: readonly (Lease & { result?: unknown })[],
    { tx, ...options }: KeepOption & TxOption = {},
  ): Promise<Completed[]> {
    const results = jobs.some((job) => job.result !== undefined) ? jobs.map((job) => job.result ?? null) : undefined;
    return this.call(completeJobs, { ...options, ...split(jobs), results }, tx);
  }

  /** Records that an attempt failed: the job comes back later, or has failed for good after its last attempt. */
  async failJob(
    id: string,
    token: string,
    error: string,
    { tx, ...settings }: FailureSettings & TxOption = {},
  ): Promise<Failed> {
    const [row] = await this.call(failJob, { ...settings, id, token, error }, tx);
    return row as Failed;
  }

  /** Records failed attempts of many jobs; a row for each, in their order. */
  async failJobs(failures: readonly Failure[], { tx }: TxOption = {}): Promise<(Failed & { id: string })[]> {
    return this.call(failJobs, { failures: writeRows(failure, failures, 'failures') }, tx);
  }

  /** Holds leases for longer; a row for each, in their order. `cancel_requested`: extended, but stop soon. */
  async extendLeases(jobs: readonly Lease[], { tx, ...options }: LeaseOption & TxOption = {}): Promise<Extended[]> {
    return this.call(extendLeases, { ...options, ...split(jobs) }, tx);
  }

  /** Hands jobs back unstarted, attempts not charged; a row for each, in their order. */
  async releaseJobs(jobs: readonly Lease[], { tx }: TxOption = {}): Promise<Released[]> {
    return this.call(releaseJobs, split(jobs), tx);
  }

  /** Hands a job back to run later, attempt not charged. */
  async snoozeJob(id: string, token: string, runAt: Date, { tx }: TxOption = {}): Promise<Snoozed> {
    const [row] = await this.call(snoozeJob, { id, token, runAt }, tx);
    return row as Snoozed;
  }
}

function split(jobs: readonly Lease[]): { ids: string[]; tokens: string[] } {
  return { ids: jobs.map(({ id }) => id), tokens: jobs.map(({ token }) => token) };
}
