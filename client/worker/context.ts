import type pg from 'pg';
import type { PgMill } from '../pgmill.js';
import type { AnyJobs, JobCron, LeasedJob } from '../types.js';
import type { Held } from './held.js';
import { FinalError, SnoozeError } from './reasons.js';
import type { Runner } from './runner.js';

/** What a handler gets beside the payload. */
export class JobContext<Jobs = AnyJobs> {
  readonly #held: Held;
  readonly #runner: Runner;

  constructor(held: Held, runner: Runner) {
    this.#held = held;
    this.#runner = runner;
  }

  get job(): LeasedJob {
    return this.#held.job;
  }

  get id(): string {
    return this.#held.id;
  }

  /** Counts from 1. */
  get attempt(): number {
    return this.#held.attempt;
  }

  /** The schedule that made the job; null for an ordinary job. */
  get cron(): JobCron | null {
    return this.#held.cron;
  }

  /** Aborted when the job should stop; `signal.reason.code` is timeout, cancelled, lease_lost or shutdown. */
  get signal(): AbortSignal {
    return this.#held.signal;
  }

  /** The client the worker belongs to. */
  get mill(): PgMill<Jobs> {
    return this.#runner.mill as unknown as PgMill<Jobs>;
  }

  /** Gives the job so many milliseconds from now, instead of what is left of its timeout. */
  extend(ms: number = this.#held.timeout): void {
    this.#runner.extend(this.#held, ms);
  }

  /** Renews the lease now and learns whether the job should stop. Not needed for the lease: the worker renews it. */
  heartbeat(): Promise<void> {
    return this.#runner.heartbeat.now();
  }

  /**
   * Completes the job in a transaction, together with what `write` does in it with `tx`; what `write` returns is the
   * job's result. Do the work first: the transaction is open no longer than `write` takes. When it throws, nothing of it
   * is there and the job is not completed; so throw on.
   */
  complete(write: (tx: pg.ClientBase) => unknown): Promise<void> {
    return this.#runner.complete(this.#held, write);
  }

  /** Ends the handler: the job comes back at that time, or after so many milliseconds; the attempt is not charged. */
  snooze(until: Date | number): never {
    throw new SnoozeError(until);
  }

  /** Ends the handler: the job has failed for good, whatever attempts are left. */
  fail(message: string): never {
    throw new FinalError(message);
  }
}

/** What the handler of a transactional job gets. */
export class TransactionContext<Jobs = AnyJobs> extends JobContext<Jobs> {
  /** The client in the transaction that also completes the job. Do not commit or roll back: throw instead. */
  readonly tx: pg.ClientBase;

  constructor(held: Held, runner: Runner, tx: pg.ClientBase) {
    super(held, runner);
    this.tx = tx;
  }
}
