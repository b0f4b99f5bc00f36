import type { PgMill } from '../pgmill.js';
import type { Emitter } from './events.js';
import type { Link } from './link.js';
import { backoff, Sleep } from './sleep.js';

export interface DozeOptions {
  mill: PgMill;
  /** A connection for this alone: entering may wait for seconds. */
  link: Link;
  events: Emitter;
  queues: string[];
  /** Look for jobs once more. */
  look: () => void;
}

/**
 * Tells those who add jobs that we sleep, so that they notify us; while nobody sleeps they need not. Entering waits in
 * the database behind those who are just adding without a notification; when it returns their jobs are visible, so we
 * look once more. All that happens beside the loop, which never waits for it.
 */
export class Doze {
  readonly #options: DozeOptions;
  readonly #pause = new Sleep();
  #wanted = false;
  #entered = false;
  #working = false;
  #enabled = false;

  constructor(options: DozeOptions) {
    this.#options = options;
  }

  /** Notifications are known to arrive. */
  enable(): void {
    this.#enabled = true;
    this.#set(this.#wanted);
  }

  enter(): void {
    this.#set(true);
  }

  leave(): void {
    this.#set(false);
  }

  /** The connection broke, and the locks are gone with it. */
  onLost(): void {
    this.#entered = false;
    this.#set(this.#wanted);
  }

  async stop(): Promise<void> {
    this.#enabled = false;
    this.#pause.wake();
    await this.#options.link.close();
  }

  #set(wanted: boolean): void {
    this.#wanted = wanted;
    if (this.#enabled && !this.#working && this.#wanted !== this.#entered) void this.#work();
  }

  async #work(): Promise<void> {
    const { mill, link: tx, queues, look, events } = this.#options;
    this.#working = true;
    for (let failures = 0; this.#enabled && this.#wanted !== this.#entered; ) {
      const wanted = this.#wanted;
      try {
        if (wanted) await mill.enterSleep(queues, { tx });
        else await mill.leaveSleep({ tx });
        this.#entered = wanted;
        failures = 0;
        if (wanted && this.#wanted) look();
      } catch (error) {
        if (!this.#enabled) break;
        // Others add jobs in one long transaction, or sleep themselves: look for jobs and try again.
        if (isTimeout(error)) look();
        else {
          events.emit('error', error);
          await this.#pause.wait(backoff(failures++));
        }
      }
    }
    this.#working = false;
  }
}

/** enter_sleep waits no longer than 5 seconds; the user's settings may allow it less. */
function isTimeout(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '55P03' || code === '57014';
}
