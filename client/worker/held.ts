import type { LeasedJob } from '../types.js';
import { JobStoppedError, type StopCode } from './reasons.js';
import type { JobHandler } from './settings.js';

/** A job that this process holds the lease of, from the claim to the end of its handler. */
export class Held {
  readonly job: LeasedJob;
  readonly handler: JobHandler;
  /** By performance.now(), as is the deadline. */
  readonly claimedAt = performance.now();
  startedAt = 0;
  deadline = Number.POSITIVE_INFINITY;
  /** Its outcome is decided: nothing else may be recorded for it, whatever the handler still does. */
  settled = false;
  /** Its transaction is being committed: its row may be locked, so leave it alone. */
  committing = false;
  /** Asked for by whoever runs the job. */
  onStop: ((code: StopCode) => void) | undefined;
  #stopped: JobStoppedError | undefined;
  #controller: AbortController | undefined;

  constructor(job: LeasedJob, handler: JobHandler) {
    this.job = job;
    this.handler = handler;
  }

  /** Milliseconds the handler may take: the job decides, then the handler, then the worker. */
  get timeout(): number {
    return this.job.timeout ?? this.handler.timeout;
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
    if (this.settled) throw this.#stopped ?? new Error(`Job ${this.job.id} has ended already.`);
  }

  /** Aborts the signal; the first reason stays. */
  stop(code: StopCode, message?: string): void {
    if (this.#stopped === undefined) {
      this.#stopped = new JobStoppedError(code, message);
      this.#controller?.abort(this.#stopped);
    }
    this.onStop?.(code);
  }
}
