import type { PgMill } from '../pgmill.js';
import type { Emitter, RunCounts } from './events.js';
import { describe, retryDelay } from './failure.js';
import type { Held } from './held.js';
import type { Link } from './link.js';

export interface Ended {
  held: Held;
}

export interface Completion extends Ended {
  result: unknown;
}

export interface FailedAttempt extends Ended {
  error: unknown;
  reason: 'error' | 'timeout';
  final: boolean;
}

export interface Snooze extends Ended {
  until: Date;
}

export interface SendOptions {
  mill: PgMill;
  link: Link;
  counts: RunCounts;
  events: Emitter;
  /** A job comes back, at once or later. */
  onReturn: () => void;
  /** Fewer endings wait. */
  onAnswer: () => void;
}

/** Sends the endings of jobs, a batch in a call, and counts and tells what the database answered. */
export class Send {
  readonly #options: SendOptions;

  constructor(options: SendOptions) {
    this.#options = options;
  }

  async complete(batch: Completion[], keep: boolean): Promise<void> {
    const { mill, link: tx } = this.#options;
    const jobs = batch.map(({ held: { job }, result }) => ({ id: job.id, token: job.token, result }));
    const answers = await mill.completeJobs(jobs, { keep, tx });
    for (const [index, { held, result }] of batch.entries()) {
      // Completed already: the answer to an earlier call got lost.
      if (answers[index]?.outcome === 'lease_lost') this.lost(held);
      else this.completed(held, result);
    }
  }

  async fail(batch: FailedAttempt[]): Promise<void> {
    const { mill, link: tx, counts, events, onReturn } = this.#options;
    const failures = batch.map(({ held: { job, handler }, error, reason, final }) => {
      const retryIn = handler.retry && retryDelay(job.attempt, handler.retry);
      return { id: job.id, token: job.token, error: describe(error), reason, final, retryIn };
    });
    const answers = await mill.failJobs(failures, { tx });
    for (const [index, { held, error, reason }] of batch.entries()) {
      const { state = 'lease_lost', runAt = null } = answers[index] ?? {};
      if (state === 'lease_lost') this.lost(held);
      else if (state === 'cancelled') this.cancelled(held);
      else {
        counts[state === 'failed' ? 'failed' : 'retried'] += 1;
        events.emit('job:fail', held.job, { error, reason, state, runAt });
      }
    }
    onReturn();
  }

  async release(batch: Ended[]): Promise<void> {
    const { mill, link: tx, counts, events } = this.#options;
    const leases = batch.map(({ held: { job } }) => ({ id: job.id, token: job.token }));
    const answers = await mill.releaseJobs(leases, { tx });
    for (const [index, { held }] of batch.entries()) {
      const outcome = answers[index]?.outcome;
      if (outcome === 'lease_lost') this.lost(held);
      else if (outcome === 'cancelled') this.cancelled(held);
      else {
        counts.released += 1;
        events.emit('job:release', held.job);
      }
    }
  }

  async snooze(batch: Snooze[]): Promise<void> {
    const { mill, link: tx, counts, events, onReturn } = this.#options;
    for (const { held, until } of batch) {
      const { state, runAt } = await mill.snoozeJob(held.job.id, held.job.token, until, { tx });
      if (state === 'lease_lost') this.lost(held);
      else if (state === 'cancelled') this.cancelled(held);
      else {
        counts.snoozed += 1;
        events.emit('job:snooze', held.job, runAt);
      }
    }
    onReturn();
  }

  completed({ job }: Held, result: unknown): void {
    this.#options.counts.completed += 1;
    this.#options.events.emit('job:complete', job, result);
  }

  cancelled({ job }: Held): void {
    this.#options.counts.cancelled += 1;
    this.#options.events.emit('job:cancel', job);
  }

  lost({ job }: Held): void {
    this.#options.counts.lost += 1;
    this.#options.events.emit('lease:lost', job);
  }
}
