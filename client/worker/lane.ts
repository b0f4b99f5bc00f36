import { backoff, Sleep } from './sleep.js';

/** Sends one kind of outcome; throws when the whole batch was refused or could not be sent. */
type Send<Item> = (batch: Item[]) => Promise<void>;

export interface LaneOptions<Item> {
  send: Send<Item>;
  /** Fewer items wait. */
  answered: () => void;
  /** The database refuses this one. */
  refused: (item: Item, error: unknown) => void;
  /** It could not be sent for now; it will be sent again. */
  failed: (error: unknown) => void;
  /** @default 2000; the functions take 10000 */
  largestBatch?: number;
}

/**
 * Sends items in batches, one batch at a time: what arrives meanwhile is the next batch. So a batch is one item when
 * there is little to do and hundreds when there is much. Nothing is dropped: what could not be sent is sent again.
 */
export class Lane<Item> {
  readonly #options: LaneOptions<Item>;
  readonly #sleep = new Sleep();
  /** How many items have not been answered. */
  waiting = 0;
  #queue: Item[] = [];
  /** Items of a batch that was refused: sent one by one, to find the culprit. */
  #singles: Item[] = [];
  #working = false;
  #singleTurn = false;
  #abandoned = false;
  #idle: (() => void)[] = [];

  constructor(options: LaneOptions<Item>) {
    this.#options = options;
  }

  add(item: Item): void {
    if (this.#abandoned) return;
    this.waiting += 1;
    this.#queue.push(item);
    if (this.#working) return;
    this.#working = true;
    // Not at once: what ends in this turn of the event loop goes along.
    setImmediate(() => void this.#work());
  }

  /** Resolves when everything has been answered. */
  idle(): Promise<void> {
    if (!this.#working) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Does not wait any longer before it sends again. */
  retry(): void {
    this.#sleep.wake();
  }

  /** Gives up; returns how many were not sent. */
  abandon(): number {
    const left = this.#queue.length + this.#singles.length;
    this.#abandoned = true;
    this.#queue = [];
    this.#singles = [];
    this.#sleep.wake();
    return left;
  }

  async #work(): Promise<void> {
    let failures = 0;
    for (;;) {
      const single = this.#nextIsSingle();
      const batch = single ? this.#singles.splice(0, 1) : this.#queue.splice(0, this.#options.largestBatch ?? 2000);
      if (batch.length === 0) break;
      try {
        await this.#options.send(batch);
        this.#answered(batch.length);
        failures = 0;
      } catch (error) {
        if (this.#abandoned) break;
        if (batch.length > 1 && (isRefusal(error) || isLocked(error))) this.#singles.push(...batch);
        else if (isRefusal(error)) {
          this.#answered(1);
          this.#options.refused(batch[0] as Item, error);
        } else {
          (single ? this.#singles : this.#queue).push(...batch);
          this.#options.failed(error);
          // A locked job waits for its turn behind the others, not they for it.
          if (!isLocked(error) || this.#queue.length === 0) await this.#sleep.wait(backoff(failures++));
        }
      }
    }
    this.#working = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #answered(items: number): void {
    this.waiting -= items;
    this.#options.answered();
  }

  /** By turns, while there are both. */
  #nextIsSingle(): boolean {
    this.#singleTurn = this.#singles.length > 0 && (this.#queue.length === 0 || !this.#singleTurn);
    return this.#singleTurn;
  }
}

/** The values are at fault, not the circumstances: sent again they would be refused again. */
function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && (code === 'PM001' || /^(22|54)/.test(code));
}

/** Somebody holds the row of one of the jobs in a transaction. */
function isLocked(error: unknown): boolean {
  return (error as { code?: unknown }).code === '55P03';
}
