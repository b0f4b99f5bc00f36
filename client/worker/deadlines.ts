import type { Held } from './held.js';

/** Watches the deadlines of running jobs with one timer for all, set for the earliest. */
export class Deadlines {
  readonly #running: Iterable<Held>;
  readonly #passed: (held: Held) => void;
  #timer: NodeJS.Timeout | undefined;
  #setFor = Number.POSITIVE_INFINITY;

  constructor(running: Iterable<Held>, passed: (held: Held) => void) {
    this.#running = running;
    this.#passed = passed;
  }

  /** Looks after a deadline that is new, or was moved. Of a later one nothing needs to be done now. */
  watch(deadline: number): void {
    if (deadline < this.#setFor) this.#set(deadline);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#setFor = Number.POSITIVE_INFINITY;
  }

  #set(deadline: number): void {
    clearTimeout(this.#timer);
    this.#setFor = deadline;
    if (deadline === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#check(), Math.min(Math.max(deadline - performance.now(), 1), 2 ** 31 - 1));
  }

  #check(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const held of this.#running) {
      if (held.settled || held.committing) continue;
      if (held.deadline <= now) this.#passed(held);
      else next = Math.min(next, held.deadline);
    }
    this.#set(next);
  }
}
