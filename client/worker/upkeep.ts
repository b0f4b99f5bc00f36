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

/** A turn that found the ring to be turned is followed by another this soon, in milliseconds: there is much going on. */
const soon = 100;

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
    while (!this.#stopped) {
      let turned = false;
      const tick = async () => {
        turned = (await mill.tick()).some(({ task }) => task === 'ring');
      };
      await within(
        patience,
        tick().catch((error) => this.#stopped || failed(error)),
      );
      also();
      // Not all workers at once.
      if (!this.#stopped) await this.#sleep.wait(turned ? soon : 800 + Math.random() * 400);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#sleep.wake();
  }
}
