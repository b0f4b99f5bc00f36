import type { PgMill } from '../pgmill.js';
import type { Emitter } from './events.js';
import type { Held } from './held.js';
import type { Link } from './link.js';

export interface HeartbeatOptions {
  mill: PgMill;
  link: Link;
  events: Emitter;
  /** How long a lease lasts, in milliseconds; renewed after a third of that. */
  lease: number;
  /** The leases to renew. */
  held: () => Held[];
  lost: (held: Held) => void;
  cancelled: (held: Held) => void;
}

/** A call takes at most so many leases. */
const largestBatch = 10_000;

/** Renews the leases of all jobs we hold, and learns which of them were lost or should stop. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.now(), this.#options.lease / 3);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Renews now; while a call is under way, once more after it. */
  now(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    if (this.#beating !== undefined) {
      this.#next = this.#beating.then(() => {
        this.#next = undefined;
        return this.now();
      });
      return this.#next;
    }
    this.#beating = this.#beat()
      .catch((error) => void this.#options.events.emit('error', error))
      .finally(() => {
        this.#beating = undefined;
      });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const all = this.#options.held();
    for (let from = 0; from < all.length; from += largestBatch)
      await this.#extend(all.slice(from, from + largestBatch));
  }

  async #extend(batch: Held[]): Promise<void> {
    const { mill, link: tx, lease, lost, cancelled } = this.#options;
    const leases = batch.map(({ id, token }) => ({ id, token }));
    try {
      const answers = await mill.extendLeases(leases, { lease, tx });
      for (const [index, held] of batch.entries()) {
        if (held.settled || held.committing) continue;
        const outcome = answers[index]?.outcome;
        if (outcome === 'lease_lost') lost(held);
        else if (outcome === 'cancel_requested') cancelled(held);
      }
    } catch (error) {
      // Somebody holds the row of one of the jobs in a transaction: the others must not suffer.
      if ((error as { code?: unknown }).code !== '55P03') throw error;
      if (batch.length > 1) await Promise.all(batch.map((held) => this.#extend([held])));
    }
  }
}
