import type { Doze } from './doze.js';
import type { Runner } from './runner.js';
import { backoff, type Sleep } from './sleep.js';

/** A claim that was sent. */
interface Claim {
  maxJobs: number;
  /** How many it brought. */
  answer: Promise<number>;
}

/** Claims jobs whenever there is room for some; sleeps while there are none. */
export class Poll {
  readonly #runner: Runner;
  readonly #doze: Doze;
  readonly #sleep: Sleep;
  #stopped = false;
  /** The last claim brought something. */
  #busy = false;
  /** It brought as much as it asked for: there is more. */
  #plenty = false;
  /** Sent before the one before it was answered. */
  #next: Claim | undefined;
  #looking = false;
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
        this.#plenty = false;
        if (this.#stopped) break;
        this.#runner.events.emit('error', error);
        wait = backoff(failures++);
      }
      if (this.#stopped) break;
      if (wait > 0) await this.#sleep.wait(wait, wakes);
    }
    await this.#next?.answer.catch(() => {});
  }

  stop(): void {
    this.#stopped = true;
    this.#sleep.wake();
  }

  /** There may be room again. */
  onFree(): void {
    if (this.#looking || !(this.#full || this.#mayClaimAhead())) return;
    this.#looking = true;
    // What ends in this turn of the event loop makes room too.
    setImmediate(() => {
      this.#looking = false;
      if (this.#full) {
        this.#full = false;
        this.#sleep.wake();
      } else this.#claimAhead();
    });
  }

  /** Looks for jobs once; returns how long to wait before the next time. */
  async #round(): Promise<number> {
    const claim = this.#next ?? this.#claim();
    this.#next = undefined;
    this.#full = claim === undefined;
    if (claim === undefined) {
      return Number.POSITIVE_INFINITY;
    }
    this.#claimAhead();
    const got = await claim.answer;
    this.#plenty = got >= claim.maxJobs;
    if (got > 0) {
      // Awake when there is more to do than this claim took: adders need not tell us of it. One job now and then is
      // no reason to get up.
      if (this.#plenty || this.#busy) this.#doze.leave();
      this.#busy = true;
      this.#overtaken = 0;
      return 0;
    }
    this.#busy = false;
    this.#doze.enter();
    this.#runner.events.emit('idle');
    return this.#untilNext();
  }

  /** Sends a claim, if there is room for what it may bring. */
  #claim(): Claim | undefined {
    const maxJobs = this.#runner.room();
    return maxJobs > 0 ? { maxJobs, answer: this.#runner.claim(maxJobs) } : undefined;
  }

  #mayClaimAhead(): boolean {
    return this.#plenty && this.#next === undefined && !this.#stopped;
  }

  /**
   * While there is plenty, one more claim than is being answered is on its way, so that the database goes on with it at
   * once (measured: it was idle for a fifth of the time).
   */
  #claimAhead(): void {
    if (!this.#mayClaimAhead()) return;
    this.#next = this.#claim();
    this.#next?.answer.catch(() => {}); // whoever takes it up learns of it
  }

  /** Until the next scheduled job is due, but no longer than pollInterval. */
  async #untilNext(): Promise<number> {
    const { filter, pollInterval } = this.#runner.settings;
    const ms = await this.#runner.mill.millisUntilNextRun({ ...filter, tx: this.#runner.connections.claiming });
    if (ms === null) return pollInterval;
    if (ms > 0) {
      this.#overtaken = 0;
      return Math.min(ms, pollInterval);
    }
    return Math.min(2 ** this.#overtaken++, pollInterval);
  }
}
