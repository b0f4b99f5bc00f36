import type { Held } from './held.js';

/** Jobs claimed ahead should not wait longer than this for a slot, in milliseconds. */
const longestWait = 50;
const mostAhead = 1000;
/** When nothing has started for so long, jobs claimed ahead are better off with another worker. */
const stuckAfter = 1000;

export interface SlotsOptions {
  concurrency: number;
  /** How many jobs to claim ahead; auto: going by how long jobs take. */
  prefetch: number | 'auto';
  start: (held: Held) => void;
  /** A slot became free. */
  onFree: () => void;
}

/** The jobs that run, never more than `concurrency`, and those claimed ahead of a free slot. */
export class Slots {
  readonly running = new Set<Held>();
  /** Jobs that were asked for and may still come. */
  coming = 0;
  readonly #options: SlotsOptions;
  #ahead: Held[] = [];
  /** How long jobs take, in milliseconds, the last ones counting most; infinite: not known yet. */
  #average = Number.POSITIVE_INFINITY;
  #lastStart = 0;
  #filling = false;
  #closed = false;
  #empty: (() => void)[] = [];

  constructor(options: SlotsOptions) {
    this.#options = options;
  }

  get all(): Held[] {
    return [...this.running, ...this.#ahead];
  }

  /** How many jobs may be held at a time, running and ahead. */
  get capacity(): number {
    return this.#options.concurrency + this.#prefetch();
  }

  /**
   * How many jobs to claim now; none while there are enough ahead. Only half of those ahead in one go, so that the next
   * half is on its way while the first one runs.
   */
  room(): number {
    const prefetch = this.#prefetch();
    const { concurrency } = this.#options;
    const room = concurrency - this.running.size + prefetch - this.#ahead.length - this.coming;
    return room < Math.max(prefetch / 2, 1) ? 0 : Math.min(room, concurrency + Math.floor(prefetch / 2));
  }

  add(held: Held[]): void {
    this.#ahead.push(...held);
    this.#fill();
  }

  /** The handler has ended, however the job did. */
  end(held: Held): void {
    if (!this.running.delete(held)) return;
    if (held.startedAt > 0 && this.#options.prefetch === 'auto') {
      const took = performance.now() - held.startedAt;
      this.#average = this.#average === Number.POSITIVE_INFINITY ? took : this.#average * 0.9 + took * 0.1;
    }
    this.#fill();
    this.#options.onFree();
    if (this.running.size === 0) for (const resolve of this.#empty.splice(0)) resolve();
  }

  /** Resolves when nothing runs. */
  empty(): Promise<void> {
    if (this.running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#empty.push(resolve));
  }

  /** Takes jobs away that have not started: this one, or all of those ahead. */
  drop(held: Held): void {
    const index = this.#ahead.indexOf(held);
    if (index >= 0) this.#ahead.splice(index, 1);
  }

  dropAhead(): Held[] {
    return this.#ahead.splice(0);
  }

  /** From now on nothing starts. */
  close(): void {
    this.#closed = true;
  }

  /** Takes away jobs ahead that would wait too long, because the running ones take longer than those before. */
  dropStuck(): Held[] {
    if (this.#options.prefetch !== 'auto' || performance.now() - this.#lastStart < stuckAfter) return [];
    this.#average = Number.POSITIVE_INFINITY;
    return this.dropAhead();
  }

  #prefetch(): number {
    const { prefetch, concurrency } = this.#options;
    if (prefetch !== 'auto') return prefetch;
    return Math.min(mostAhead, Math.floor((concurrency * longestWait) / Math.max(this.#average, 0.001)));
  }

  /** Not re-entered by a handler that ends at once, so that a thousand of them do not nest. */
  #fill(): void {
    if (this.#filling) return;
    this.#filling = true;
    while (!this.#closed && this.running.size < this.#options.concurrency) {
      const held = this.#ahead.shift();
      if (held === undefined) break;
      this.running.add(held);
      this.#lastStart = performance.now();
      this.#options.start(held);
    }
    this.#filling = false;
  }
}
