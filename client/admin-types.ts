import type { JobState } from './types.js';

export interface RunRange {
  /** Only jobs with a `run_at` from then on. @default no limit */
  runFrom?: Date | undefined;
  /** Only jobs with a `run_at` before then. @default no limit */
  runUntil?: Date | undefined;
}

export interface FindFilter extends RunRange {
  /** @default any state */
  state?: JobState | undefined;
  /** @default any queue */
  queue?: string | undefined;
  /** @default any name */
  name?: string | undefined;
  /** @default any key, and none */
  uniqueKey?: string | undefined;
  /** At most so many, 1 to 10000. @default 100 */
  maxJobs?: number | undefined;
  /** Only jobs with a higher id: the last one of the page before. @default the first page */
  afterId?: string | undefined;
}

export interface CancelFilter extends RunRange {
  /** @default any name */
  name?: string;
  /** @default any queue */
  queue?: string;
  /** @default any priority */
  priority?: number;
  /** Exactly this `run_at`. @default any */
  runAt?: Date;
  /** @default any key, and none */
  uniqueKey?: string;
}

export interface RetryFilter extends RunRange {
  /** @default any name */
  name?: string;
  /** @default any queue */
  queue?: string;
  /** @default both */
  state?: 'failed' | 'cancelled';
  /** At most so many, 1 to 10000. @default 1000 */
  maxJobs?: number;
}

/** What is left out stays as it is. */
export interface JobChanges {
  payload?: unknown;
  priority?: number | undefined;
  runAt?: Date | undefined;
  maxAttempts?: number | undefined;
  /** Milliseconds. */
  timeout?: number | undefined;
  /** Milliseconds. */
  retryBase?: number | undefined;
  /** Milliseconds. */
  retryMax?: number | undefined;
}

/** How long ago jobs must have ended, in milliseconds. */
export interface CleanupOptions {
  /** @default 432000000, 5 days */
  completedAfter?: number | undefined;
  /** @default 2592000000, 30 days */
  failedAfter?: number | undefined;
  /** @default 432000000, 5 days */
  cancelledAfter?: number | undefined;
}
