/** The longest delay that setTimeout takes. */
const longest = 2 ** 31 - 1;

/** Waits that can be woken. */
export class Sleep {
  /** How often it was woken. Read it before looking for work, and pass it to wait(): a wake-up in between is not lost. */
  wakes = 0;
  readonly #waits = new Set<() => void>();

  wake(): void {
    this.wakes += 1;
    for (const end of this.#waits) end();
  }

  /** Waits so many milliseconds, or until woken; not at all when woken since. */
  wait(ms: number, since = this.wakes): Promise<void> {
    if (this.wakes !== since) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waits.delete(end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(Math.max(ms, 1), longest));
      this.#waits.add(end);
    });
  }
}

/** How long to wait after so many failures in a row: 100 ms, doubling up to 5 s, each up to a half shorter at random. */
export function backoff(failures: number): number {
  return Math.min(5000, 100 * 2 ** Math.min(failures, 10)) * (1 - Math.random() / 2);
}
