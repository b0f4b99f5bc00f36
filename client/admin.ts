import type { CancelFilter, CleanupOptions, FindFilter, JobChanges, RetryFilter } from './admin-types.js';
import { InvalidArgumentError } from './errors.js';
import { Observer } from './observer.js';
import type { Shape } from './rows.js';
import { sqlFunction } from './statement.js';
import type { JobRecord, TxOption } from './types.js';

const record: Shape<JobRecord> = {
  id: 'id',
  queue: 'plain',
  name: 'plain',
  payload: 'plain',
  priority: 'plain',
  runAt: 'time',
  attempts: 'plain',
  maxAttempts: 'plain',
  timeout: 'duration',
  retryBase: 'duration',
  retryMax: 'duration',
  uniqueKey: 'plain',
  errors: 'errors',
  createdAt: 'time',
  cron: 'plain',
  cronTick: 'time',
  state: 'plain',
  worker: 'plain',
  claimedAt: 'time',
  leaseUntil: 'time',
  cancelRequested: 'plain',
  finishedAt: 'time',
  result: 'plain',
};
const jobId = { required: { id: 'id' } } as const;
const yesOrNo = { value: 'plain' } as const;
const howMany = { value: 'count' } as const;

const findJob = sqlFunction<JobRecord>({ name: 'find_job', ...jobId, columns: record });
const findJobs = sqlFunction<JobRecord>({
  name: 'find_jobs',
  required: {},
  optional: {
    state: 'text',
    queue: 'text',
    name: 'text',
    uniqueKey: 'text',
    runFrom: 'time',
    runUntil: 'time',
    maxJobs: 'int',
    afterId: 'id',
  },
  columns: record,
});
const cancelJob = sqlFunction<{ value: boolean }>({ name: 'cancel_job', ...jobId, columns: yesOrNo });
const cancelJobs = sqlFunction<{ value: number }>({
  name: 'cancel_jobs',
  required: {},
  optional: {
    name: 'text',
    queue: 'text',
    priority: 'int',
    runAt: 'time',
    runFrom: 'time',
    runUntil: 'time',
    uniqueKey: 'text',
  },
  columns: howMany,
});
const retryJob = sqlFunction<{ value: boolean }>({ name: 'retry_job', ...jobId, columns: yesOrNo });
const retryJobs = sqlFunction<{ value: number }>({
  name: 'retry_jobs',
  required: {},
  optional: { name: 'text', queue: 'text', state: 'text', runFrom: 'time', runUntil: 'time', maxJobs: 'int' },
  columns: howMany,
});
const updateJob = sqlFunction<{ value: boolean }>({
  name: 'update_job',
  ...jobId,
  optional: {
    payload: 'json',
    priority: 'int',
    runAt: 'time',
    maxAttempts: 'int',
    timeout: 'duration',
    retryBase: 'duration',
    retryMax: 'duration',
  },
  columns: yesOrNo,
});
const cleanup = sqlFunction<{ state: string; removed: number }>({
  name: 'cleanup',
  required: {},
  optional: { completedAfter: 'duration', failedAfter: 'duration', cancelledAfter: 'duration' },
  columns: { state: 'plain', removed: 'count' },
});

/** The functions of sql/admin/. */
export class Admin<Jobs> extends Observer<Jobs> {
  /** A job, whatever its state; undefined when there is none. */
  async findJob(id: string, { tx }: TxOption = {}): Promise<JobRecord | undefined> {
    const [job] = await this.call(findJob, { id }, tx);
    return job;
  }

  /** Jobs by the filters that are given, in the order of their ids; `afterId` asks for the next page. */
  async findJobs({ tx, ...filter }: FindFilter & TxOption = {}): Promise<JobRecord[]> {
    return this.call(findJobs, filter, tx);
  }

  /** Cancels a job; false when it has ended or there is none. A running job is asked to stop. */
  async cancelJob(id: string, { tx }: TxOption = {}): Promise<boolean> {
    return this.callForValue(cancelJob, { id }, tx);
  }

  /** Cancels the live jobs that pass all filters, `{}` every one; returns how many. Running jobs are asked to stop. */
  async cancelJobs({ tx, ...filter }: CancelFilter & TxOption): Promise<number> {
    return this.callForValue(cancelJobs, refuseUndefined(filter), tx);
  }

  /**
   * Gives a failed or cancelled job fresh attempts; false when it is neither, or there is none. Throws
   * DuplicateKeyError when a live job holds its unique key by now.
   */
  async retryJob(id: string, { tx }: TxOption = {}): Promise<boolean> {
    return this.callForValue(retryJob, { id }, tx);
  }

  /** Gives the failed and cancelled jobs that pass all filters fresh attempts; returns how many. */
  async retryJobs({ tx, ...filter }: RetryFilter & TxOption): Promise<number> {
    return this.callForValue(retryJobs, refuseUndefined(filter), tx);
  }

  /** Changes a job that is not running; false when no such job is live. Throws JobRunningError. */
  async updateJob(id: string, changes: JobChanges, { tx }: TxOption = {}): Promise<boolean> {
    return this.callForValue(updateJob, { ...changes, id }, tx);
  }

  /** Removes jobs that ended long ago; returns how many of each state. */
  async cleanup({ tx, ...options }: CleanupOptions & TxOption = {}): Promise<{ state: string; removed: number }[]> {
    return this.call(cleanup, options, tx);
  }
}

/** A filter that is undefined by mistake would mean every job. */
function refuseUndefined<Filter extends object>(filter: Filter): Filter {
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined || value === null) {
      throw new InvalidArgumentError(`${name} has no value.`, { hint: 'To filter by nothing, leave it out.' });
    }
  }
  return filter;
}
