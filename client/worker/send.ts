import { convertError } from '../errors.js';
import { toJson } from '../json.js';
import type { PgMill } from '../pgmill.js';
import type { Emitter, RunCounts } from './events.js';
import { describe, retryDelay } from './failure.js';
import type { Held } from './held.js';
import type { Link } from './link.js';

export interface Ended {
  held: Held;
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

  async complete(batch: Held[], keep: boolean): Promise<void> {
    const results = batch.some(({ result }) => result !== undefined)
      ? toJson(
          batch.map(({ result }) => result ?? null),
          'results',
        )
      : null;
    const values = [arrayOf(batch, 'id'), arrayOf(batch, 'token'), results, keep];
    const answers = await this.#options.link.rows<[string, string]>(completeOthers, values).catch((error) => {
      throw convertError(error);
    });
    // Completed already: the answer to an earlier call got lost.
    const lost = new Set(answers.filter(([, outcome]) => outcome === 'lease_lost').map(([index]) => Number(index) - 1));
    for (const [index, held] of batch.entries()) {
      if (lost.has(index)) this.lost(held);
      else this.completed(held);
    }
  }

  async fail(batch: FailedAttempt[]): Promise<void> {
    const { mill, link: tx, counts, events, onReturn } = this.#options;
    const failures = batch.map(({ held: { id, token, attempt, handler }, error, reason, final }) => {
      const retryIn = handler.retry && retryDelay(attempt, handler.retry);
      return { id, token, error: describe(error), reason, final, retryIn };
    });
    const answers = await mill.failJobs(failures, { tx });
    for (const [index, { held, error, reason }] of batch.entries()) {
      const { state = 'lease_lost', runAt = null } = answers[index] ?? {};
      if (state === 'lease_lost') this.lost(held);
      else if (state === 'cancelled') this.cancelled(held);
      else {
        counts[state === 'failed' ? 'failed' : 'retried'] += 1;
        events.tell('job:fail', held, { error, reason, state, runAt });
      }
    }
    onReturn();
  }

  async release(batch: Ended[]): Promise<void> {
    const { mill, link: tx, counts, events } = this.#options;
    const leases = batch.map(({ held: { id, token } }) => ({ id, token }));
    const answers = await mill.releaseJobs(leases, { tx });
    for (const [index, { held }] of batch.entries()) {
      const outcome = answers[index]?.outcome;
      if (outcome === 'lease_lost') this.lost(held);
      else if (outcome === 'cancelled') this.cancelled(held);
      else {
        counts.released += 1;
        events.tell('job:release', held);
      }
    }
  }

  async snooze(batch: Snooze[]): Promise<void> {
    const { mill, link: tx, counts, events, onReturn } = this.#options;
    for (const { held, until } of batch) {
      const { state, runAt } = await mill.snoozeJob(held.id, held.token, until, { tx });
      if (state === 'lease_lost') this.lost(held);
      else if (state === 'cancelled') this.cancelled(held);
      else {
        counts.snoozed += 1;
        events.tell('job:snooze', held, runAt);
      }
    }
    onReturn();
  }

  completed(held: Held): void {
    this.#options.counts.completed += 1;
    this.#options.events.tell('job:complete', held, held.result);
  }

  cancelled(held: Held): void {
    this.#options.counts.cancelled += 1;
    this.#options.events.tell('job:cancel', held);
  }

  lost(held: Held): void {
    this.#options.counts.lost += 1;
    this.#options.events.tell('lease:lost', held);
  }
}

/** complete_jobs, answered only for the jobs that it did not complete, for they are few. */
const completeOthers = `
  select ordinality, outcome
  from pgmill.complete_jobs(ids => $1::bigint[], tokens => $2::uuid[], results => $3::jsonb, keep => $4::boolean) with ordinality
  where outcome <> 'completed'`;

/** An array literal of what the database sent, so it needs no quotes. */
function arrayOf(batch: Held[], property: 'id' | 'token'): string {
  return `{${batch.map((held) => held[property]).join(',')}}`;
}
