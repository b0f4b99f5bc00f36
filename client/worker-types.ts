import type { JobName, JobState, Lease, TxOption } from './types.js';

/** Which jobs a worker wants. */
export interface JobFilter<Jobs> {
  /** Only jobs of these queues. @default ['default'] */
  queues?: readonly string[] | undefined;
  /** Only jobs with these names. @default any name */
  names?: readonly JobName<Jobs>[] | undefined;
  /** No jobs with these names; not together with `names`. @default none */
  exceptNames?: readonly string[] | undefined;
}

export interface LeaseOption {
  /** How long the jobs are the worker's, from now and unless it extends, in milliseconds. @default 30000 */
  lease?: number | undefined;
}

export interface GetJobOptions<Jobs> extends JobFilter<Jobs>, LeaseOption, TxOption {
  /** Who claims; shown in the job while it runs, and in its errors. */
  worker: string;
  /** Take the queues one after the other, not the most urgent job of all of them. @default false */
  unordered?: boolean | undefined;
}

export interface GetJobsOptions<Jobs> extends GetJobOptions<Jobs> {
  /** At most so many, 1 to 10000. */
  maxJobs: number;
}

export interface KeepOption {
  /** False: forget the job instead of keeping it as completed. @default true */
  keep?: boolean | undefined;
}

export interface CompleteJobOptions extends KeepOption, TxOption {
  /** What to store with the job, at most 1 MiB as JSON. @default nothing */
  result?: unknown;
}

export interface FailureSettings {
  /** How long to wait before the next attempt, in milliseconds. @default the job's own backoff */
  retryIn?: number | undefined;
  /** True: no further attempt. @default false */
  final?: boolean | undefined;
  /** @default 'error' */
  reason?: 'error' | 'timeout' | undefined;
}

/** A job that did not succeed; `error` is kept with it, cut to 2 kB. */
export interface Failure extends Lease, FailureSettings {
  error: string;
}

/** What became of a job that did not complete; `lease_lost`: nothing changed. */
export interface Ending<State extends JobState> {
  state: State | 'lease_lost';
  /** When it is to run next; null when it is not. */
  runAt: Date | null;
}

export interface Outcome<Of extends string> {
  id: string;
  outcome: Of | 'lease_lost';
}

// What each call says of a job.
export type Failed = Ending<'scheduled' | 'failed' | 'cancelled'>;
export type Snoozed = Ending<'scheduled' | 'ready' | 'cancelled'>;
export type Completed = Outcome<'completed' | 'already_completed'>;
export type Extended = Outcome<'extended' | 'cancel_requested'>;
export type Released = Outcome<'released' | 'cancelled'>;
