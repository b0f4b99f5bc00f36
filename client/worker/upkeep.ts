import type { PgMill } from '../pgmill.js';
import { within } from './drain.js';
import { Sleep } from './sleep.js';

export interface UpkeepOptions {
  mill: PgMill;
  /** Called at each turn. */
  also: () => void;
  failed: (error: unknown) => void;
}

/** A turn that takes longer is left to itself, in milliseconds: its connection is dead. */
const patience = 30_000;

/**
 * After the ring was turned, ticks follow each other this soon, for so long; in milliseconds. There is much going on, and when
 * the ring is to be turned next, the slot that is emptied may be in use at just that moment.
 */
const soon = 100;
const aWhile = 2000;

/** Calls tick() about every second: leases that ran out, due schedules, the ring, partitions. Any number of workers may. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #sleep = new Sleep();
  #stopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Runs until stop(). On a connection of the pool: beside the claims, which it must not hold up. */
  async run(): Promise<void> {
    const { mill, also, failed } = this.#options;
    let turnedAt = Number.NEGATIVE_INFINITY;
    while (!this.#stopped) {
      const tick = async () => {
        if ((await mill.tick()).some(({ task }) => task === 'ring')) turnedAt = performance.now();
      };
      await within(
        patience,
        tick().catch((error) => this.#stopped || failed(error)),
      );
      also();
      // Not all workers at once.
      const wait = performance.now() - turnedAt < aWhile ? soon : 800 + Math.random() * 400;
      if (!this.#stopped) await this.#sleep.wait(wait);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#sleep.wake();
  }
}
