import { readCron, type StoredCron, toDate } from '../rows.js';
import type { JobCron, LeasedJob } from '../types.js';
import { type Claim, type Row, usual } from './claim.js';
import { JobStoppedError, type StopCode } from './reasons.js';
import type { JobHandler } from './settings.js';

/** A job that this process holds the lease of, from the claim to the end of its handler. */
export class Held {
  readonly claim: Claim;
  readonly handler: JobHandler;
  /** By performance.now(), as is the deadline. */
  startedAt = 0;
  deadline = Number.POSITIVE_INFINITY;
  /** What the handler returned. */
  result: unknown;
  /** Its outcome is decided: nothing else may be recorded for it, whatever the handler still does. */
  settled = false;
  /** Its transaction is being committed: its row may be locked, so leave it alone. */
  committing = false;
  /** Asked for by whoever runs the job. */
  onStop: ((code: StopCode) => void) | undefined;
  readonly #row: Row;
  #job: LeasedJob | undefined;
  #payload: unknown;
  #stopped: JobStoppedError | undefined;
  #controller: AbortController | undefined;

  constructor(row: Row, claim: Claim, handler: JobHandler) {
    this.#row = row;
    this.claim = claim;
    this.handler = handler;
  }

  get id(): string {
    return this.#row[0];
  }

  get token(): string {
    return this.#row[1];
  }

  get payload(): unknown {
    this.#payload ??= this.claim.parseJson(this.#row[3]);
    return this.#payload;
  }

  get attempt(): number {
    return Number(this.#row[4]);
  }

  get cron(): JobCron | null {
    return this.job.cron;
  }

  /** Milliseconds the handler may take: the job decides, then the handler, then the worker. */
  get timeout(): number {
    const timeout = this.#row[5];
    return timeout === null ? this.handler.timeout : Number(timeout);
  }

  /** All of it, as getJobs returns it. */
  get job(): LeasedJob {
    this.#job ??= this.#read();
    return this.#job;
  }

  /** Made when a handler first asks for it: most never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stopped) this.#controller.abort(this.#stopped);
    }
    return this.#controller.signal;
  }

  get stopCode(): StopCode | undefined {
    return this.#stopped?.code;
  }

  /** For those about to record something: it was decided otherwise, or the job was asked to stop at once. */
  throwIfStopped(): void {
    if (this.settled) throw this.#stopped ?? new Error(`Job ${this.id} has ended already.`);
  }

  /** Aborts the signal; the first reason stays. */
  stop(code: StopCode, message?: string): void {
    if (this.#stopped === undefined) {
      this.#stopped = new JobStoppedError(code, message);
      this.#controller?.abort(this.#stopped);
    }
    this.onStop?.(code);
  }

  #read(): LeasedJob {
    const [id, token, name, , attempt, timeout, cron, queue, priority, maxAttempts, runAt, createdAt] = this.#row;
    return {
      id,
      token,
      queue: queue ?? usual.queue,
      name,
      payload: this.payload,
      priority: Number(priority ?? usual.priority),
      attempt: Number(attempt),
      maxAttempts: Number(maxAttempts ?? usual.maxAttempts),
      runAt: toDate(Number(runAt)),
      createdAt: toDate(Number(createdAt ?? runAt)),
      timeout: timeout === null ? null : Number(timeout),
      leaseUntil: toDate(this.claim.leaseUntil),
      cron: cron === null ? null : readCron(JSON.parse(cron) as StoredCron),
    };
  }
}
