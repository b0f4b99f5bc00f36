import type { PgMill } from '../pgmill.js';
import type { Emitter, RunCounts } from './events.js';
import { describe, retryDelay } from './failure.js';
import type { Held } from './held.js';
import { Lane } from './lane.js';
import type { Link } from './link.js';

interface Ended {
  held: Held;
}

interface Completion extends Ended {
  result: unknown;
}

interface FailedAttempt extends Ended {
  error: unknown;
  reason: 'error' | 'timeout';
  final: boolean;
}

interface Snooze extends Ended {
  until: Date;
}

export interface SettleOptions {
  mill: PgMill;
  link: Link;
  counts: RunCounts;
  events: Emitter;
  /** A job comes back, at once or later. */
  onReturn: () => void;
}

/** Tells the database how jobs ended, and everyone else what the database answered. */
export class Settle {
  readonly #options: SettleOptions;
  readonly #kept: Lane<Completion>;
  readonly #forgotten: Lane<Completion>;
  readonly #failed: Lane<FailedAttempt>;
  readonly #released: Lane<Ended>;
  readonly #snoozed: Lane<Snooze>;
  readonly #lanes: Pick<Lane<unknown>, 'idle' | 'abandon'>[];

  constructor(options: SettleOptions) {
    this.#options = options;
    const failed = (error: unknown) => options.events.emit('error', error);
    const fail = ({ held }: Ended, error: unknown) => this.fail(held, error);
    const drop = ({ held }: Ended, error: unknown) => {
      failed(error);
      this.lost(held);
    };
    this.#kept = new Lane<Completion>({ send: (batch) => this.#complete(batch, true), refused: fail, failed });
    this.#forgotten = new Lane<Completion>({ send: (batch) => this.#complete(batch, false), refused: fail, failed });
    this.#snoozed = new Lane<Snooze>({ send: (batch) => this.#snooze(batch), refused: fail, failed, largestBatch: 1 });
    this.#failed = new Lane<FailedAttempt>({ send: (batch) => this.#fail(batch), refused: drop, failed });
    this.#released = new Lane<Ended>({ send: (batch) => this.#release(batch), refused: drop, failed });
    this.#lanes = [this.#kept, this.#forgotten, this.#failed, this.#released, this.#snoozed];
  }

  complete(held: Held, result: unknown): void {
    held.settled = true;
    (held.handler.keep ? this.#kept : this.#forgotten).add({ held, result });
  }

  fail(held: Held, error: unknown, reason: 'error' | 'timeout' = 'error', final = false): void {
    held.settled = true;
    this.#failed.add({ held, error, reason, final });
  }

  release(held: Held): void {
    held.settled = true;
    this.#released.add({ held });
  }

  snooze(held: Held, until: Date): void {
    held.settled = true;
    this.#snoozed.add({ held, until });
  }

  lost(held: Held): void {
    held.settled = true;
    this.#options.counts.lost += 1;
    this.#options.events.emit('lease:lost', held.job);
  }

  completed(held: Held, result: unknown): void {
    held.settled = true;
    this.#options.counts.completed += 1;
    this.#options.events.emit('job:complete', held.job, result);
  }

  /** Resolves when the database has answered for every job. */
  async idle(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.idle()));
  }

  /** Gives up on what could not be sent; returns how many jobs that is. Their leases run out. */
  abandon(): number {
    return this.#lanes.reduce((left, lane) => left + lane.abandon(), 0);
  }

  async #complete(batch: Completion[], keep: boolean): Promise<void> {
    const { mill, link: tx } = this.#options;
    const jobs = batch.map(({ held: { job }, result }) => ({ id: job.id, token: job.token, result }));
    const answers = await mill.completeJobs(jobs, { keep, tx });
    for (const [index, { held, result }] of batch.entries()) {
      if (answers[index]?.outcome === 'lease_lost') this.lost(held);
      else this.completed(held, result);
    }
  }

  async #fail(batch: FailedAttempt[]): Promise<void> {
    const { mill, link: tx } = this.#options;
    const failures = batch.map(({ held: { job, handler }, error, reason, final }) => {
      const retryIn = handler.retry && retryDelay(job.attempt, handler.retry);
      return { id: job.id, token: job.token, error: describe(error), reason, final, retryIn };
    });
    const answers = await mill.failJobs(failures, { tx });
    for (const [index, { held, error, reason }] of batch.entries()) {
      const { state = 'lease_lost', runAt = null } = answers[index] ?? {};
      if (this.#gone(held, state)) continue;
      if (state === 'failed' || state === 'scheduled') {
        this.#options.counts[state === 'failed' ? 'failed' : 'retried'] += 1;
        this.#options.events.emit('job:fail', held.job, { error, reason, state, runAt });
      }
    }
    this.#options.onReturn();
  }

  async #release(batch: Ended[]): Promise<void> {
    const { mill, link: tx, counts, events } = this.#options;
    const answers = await mill.releaseJobs(
      batch.map(({ held }) => held.job),
      { tx },
    );
    for (const [index, { held }] of batch.entries()) {
      if (this.#gone(held, answers[index]?.outcome)) continue;
      counts.released += 1;
      events.emit('job:release', held.job);
    }
  }

  async #snooze(batch: Snooze[]): Promise<void> {
    const { mill, link: tx, counts, events, onReturn } = this.#options;
    for (const { held, until } of batch) {
      const { state, runAt } = await mill.snoozeJob(held.job.id, held.job.token, until, { tx });
      if (this.#gone(held, state)) continue;
      counts.snoozed += 1;
      events.emit('job:snooze', held.job, runAt);
    }
    onReturn();
  }

  /** The lease was lost, or someone had asked for the job to be cancelled. */
  #gone(held: Held, state: string | undefined): boolean {
    if (state === 'lease_lost') this.lost(held);
    else if (state === 'cancelled') {
      this.#options.counts.cancelled += 1;
      this.#options.events.emit('job:cancel', held.job);
    }
    return state === 'lease_lost' || state === 'cancelled';
  }
}
