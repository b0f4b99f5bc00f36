import type { Doze } from './doze.js';
import type { Runner } from './runner.js';
import { backoff, type Sleep } from './sleep.js';

/** Claims jobs whenever there is room for some; sleeps while there are none. */
export class Poll {
  readonly #runner: Runner;
  readonly #doze: Doze;
  readonly #sleep: Sleep;
  #stopped = false;
  /** The last claim brought something. */
  #busy = false;
  /** Claims in a row that brought nothing although a job was due: others were faster. */
  #overtaken = 0;
  /** Waits for room, not for jobs. */
  #full = false;

  constructor(runner: Runner, doze: Doze, sleep: Sleep) {
    this.#runner = runner;
    this.#doze = doze;
    this.#sleep = sleep;
  }

  /** Runs until stop(); `polling` is called after the first answer of the database. */
  async run(polling: () => void): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      const { wakes } = this.#sleep;
      let wait: number;
      try {
        wait = await this.#round();
        failures = 0;
        polling();
      } catch (error) {
        if (this.#stopped) break;
        this.#runner.events.emit('error', error);
        wait = backoff(failures++);
      }
      if (this.#stopped) break;
      if (wait > 0) await this.#sleep.wait(wait, wakes);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#sleep.wake();
  }

  /** There may be room again. That is of interest only while there was none. */
  onFree(): void {
    if (!this.#full) return;
    this.#full = false;
    // What ends in this turn of the event loop makes room too.
    setImmediate(() => this.#sleep.wake());
  }

  /** Looks for jobs once; returns how long to wait before the next time. */
  async #round(): Promise<number> {
    const room = this.#runner.room();
    if (room <= 0) {
      this.#full = true;
      return Number.POSITIVE_INFINITY;
    }
    const got = await this.#runner.claim(room);
    if (got > 0) {
      // Awake when there is more to do than this claim took: adders need not tell us of it. One job now and then is
      // no reason to get up.
      if (got >= room || this.#busy) this.#doze.leave();
      this.#busy = true;
      this.#overtaken = 0;
      return 0;
    }
    this.#busy = false;
    this.#doze.enter();
    this.#runner.events.emit('idle');
    return this.#untilNext();
  }

  /** Until the next scheduled job is due, but no longer than pollInterval. */
  async #untilNext(): Promise<number> {
    const { filter, pollInterval } = this.#runner.settings;
    const ms = await this.#runner.mill.millisUntilNextRun({ ...filter, tx: this.#runner.claimLink });
    if (ms === null) return pollInterval;
    if (ms > 0) {
      this.#overtaken = 0;
      return Math.min(ms, pollInterval);
    }
    return Math.min(2 ** this.#overtaken++, pollInterval);
  }
}
