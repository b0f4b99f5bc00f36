/**
 * The payload of each job name: `interface Jobs { 'send-mail': { to: string }; cleanup: undefined }`. A payload is
 * what JSON makes of it: a Date arrives as a string.
 */
export type AnyJobs = Record<string, unknown>;

export type JobName<Jobs> = Extract<keyof Jobs, string>;

/** A client in a transaction: pg's, or any other whose `query` works like pg's. */
export interface Tx {
  // biome-ignore lint/suspicious/noExplicitAny: rows are what the caller's own query makes them
  query(text: string, values?: unknown[]): Promise<{ rows: any[] }>;
}

/** Every method takes it. */
export interface TxOption {
  /**
   * Makes the call in this transaction, so that it commits, or is rolled back, with everything else in it.
   * @default a connection of the pool, in a transaction of its own
   */
  tx?: Tx | undefined;
}

export type JobState = 'scheduled' | 'ready' | 'running' | 'completed' | 'failed' | 'cancelled';

/** A job as a worker gets it: a lease. */
export interface LeasedJob<Name extends string = string, Payload = unknown> {
  id: string;
  /** The lease. It goes with every later call for the job. */
  token: string;
  queue: string;
  name: Name;
  payload: Payload;
  priority: number;
  /** Counts from 1. */
  attempt: number;
  maxAttempts: number;
  runAt: Date;
  createdAt: Date;
  /** How long the handler may take, in milliseconds; null: the job does not say. */
  timeout: number | null;
  leaseUntil: Date;
  /** The schedule that made the job; null for an ordinary job. */
  cron: JobCron | null;
}

/** `Job<Jobs>` is any of the jobs, told apart by `name`; `Job<Jobs, 'send-mail'>` is one of them. */
export type Job<Jobs = AnyJobs, Name extends JobName<Jobs> = JobName<Jobs>> = {
  [Each in Name]: LeasedJob<Each, Jobs[Each]>;
}[Name];

export interface JobCron {
  name: string;
  /** Null for a schedule by interval. */
  expression: string | null;
  /** When the job was due. */
  tick: Date;
  /** When a job of the schedule last completed; null until the first did. */
  lastCompletedAt: Date | null;
}

/** A job as it is stored, whatever its state. */
export interface JobRecord {
  id: string;
  queue: string;
  name: string;
  payload: unknown;
  priority: number;
  runAt: Date;
  attempts: number;
  maxAttempts: number;
  timeout: number | null;
  retryBase: number;
  retryMax: number;
  uniqueKey: string | null;
  /** The last ten, the newest last. */
  errors: JobError[];
  createdAt: Date;
  cron: string | null;
  cronTick: Date | null;
  state: JobState;
  worker: string | null;
  claimedAt: Date | null;
  leaseUntil: Date | null;
  cancelRequested: boolean;
  finishedAt: Date | null;
  result: unknown;
}

export interface JobError {
  attempt: number;
  at: Date;
  reason: 'error' | 'timeout' | 'lease_expired';
  message: string;
  worker: string;
}

/** The lease of a job; a job from getJobs is one. */
export interface Lease {
  id: string;
  token: string;
}
