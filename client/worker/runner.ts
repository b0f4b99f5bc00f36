import type pg from 'pg';
import type { PgMill } from '../pgmill.js';
import { Claims } from './claim.js';
import { Connections } from './connections.js';
import { Deadlines } from './deadlines.js';
import { type Emitter, noCounts } from './events.js';
import { Heartbeat } from './heartbeat.js';
import type { Held } from './held.js';
import { runJob, timeOut } from './run-job.js';
import type { Settings } from './settings.js';
import { Settle } from './settle.js';
import { Sleep } from './sleep.js';
import { Slots } from './slots.js';
import { completeInTransaction, runInTransaction } from './transaction.js';

/** So many endings may always wait to be settled. */
const fewEndings = 100;

export interface RunnerOptions {
  mill: PgMill;
  settings: Settings;
  events: Emitter;
  /** There may be room: a slot became free, or endings were settled. */
  onFree: () => void;
  /** A job comes back, at once or later. */
  onReturn: () => void;
}

/**
 * Holds leases: claims jobs, runs them, renews their leases and settles them. When to claim, and how many, is for
 * others to decide: Poll, or runOnce.
 */
export class Runner {
  readonly mill: PgMill;
  readonly settings: Settings;
  readonly events: Emitter;
  readonly counts = noCounts();
  readonly slots: Slots;
  readonly settle: Settle;
  readonly heartbeat: Heartbeat;
  readonly connections: Connections;
  /** Where jobs wait that cannot start yet; woken at the end. */
  readonly pause = new Sleep();
  readonly #claims: Claims;
  readonly #deadlines: Deadlines;
  #closing = false;

  constructor({ mill, settings, events, onFree, onReturn }: RunnerOptions) {
    this.mill = mill;
    this.settings = settings;
    this.events = events;
    const { concurrency, prefetch, lease } = settings;
    this.connections = new Connections({
      pool: mill.pool,
      lease,
      transactions: concurrency,
      onOpen: () => this.settle.retry(),
      failed: (error) => void events.emit('error', error),
    });
    const { settling, claiming } = this.connections;
    this.#claims = new Claims(claiming, settings);
    const start = (held: Held) => (held.handler.transactional ? void runInTransaction(held, this) : runJob(held, this));
    this.slots = new Slots({ concurrency, prefetch, start, onFree });
    this.settle = new Settle({ mill, link: settling, counts: this.counts, events, onReturn, onAnswer: onFree });
    this.#deadlines = new Deadlines(this.slots.running, (held) => timeOut(held, this));
    this.heartbeat = new Heartbeat({
      mill,
      link: settling,
      events,
      lease,
      held: () => this.slots.all.filter((held) => !held.settled && !held.committing),
      lost: (held) => this.#lost(held),
      cancelled: (held) => this.#cancelled(held),
    });
  }

  /**
   * How many jobs to claim now. None while twice as many endings wait as jobs may be held: the database is slower than
   * the handlers, and would have all the more to run again if this process died. Once as many is too few to bridge a slow
   * disk (measured: 38k jobs/s beside another busy program, 45k with twice as many).
   */
  room(): number {
    return this.settle.waiting > Math.max(2 * this.slots.capacity, fewEndings) ? 0 : this.slots.room();
  }

  /** Claims up to so many jobs and starts those that have a slot; returns how many there were. */
  async claim(maxJobs: number): Promise<number> {
    this.slots.coming += maxJobs;
    let held: Held[];
    try {
      await this.connections.settling.open(); // nothing is claimed whose ending could not be recorded
      held = await this.#claims.take(maxJobs);
    } finally {
      this.slots.coming -= maxJobs;
    }
    this.counts.claimed += held.length;
    this.slots.add(held);
    if (this.#closing) this.releaseUnstarted();
    return held.length;
  }

  /** The handler starts now, and so does its time. */
  begin(held: Held): void {
    held.startedAt = performance.now();
    held.deadline = held.startedAt + held.timeout;
    this.#deadlines.watch(held.deadline);
    this.events.tell('job:start', held);
  }

  end(held: Held): void {
    this.slots.end(held);
  }

  /** Completes the job in a transaction, together with what `write` does in it. */
  complete(held: Held, write: (tx: pg.ClientBase) => unknown): Promise<void> {
    return completeInTransaction(held, this, write);
  }

  /** Gives the job so many milliseconds from now. */
  extend(held: Held, ms: number): void {
    held.deadline = performance.now() + ms;
    this.#deadlines.watch(held.deadline);
  }

  /** Gives back what has not started; from now on nothing does. */
  releaseUnstarted(): void {
    this.#closing = true;
    this.slots.close();
    for (const held of this.slots.dropAhead()) this.settle.release(held);
    for (const held of this.slots.running) if (held.startedAt === 0 && !held.settled) this.settle.release(held);
    this.pause.wake();
  }

  /** Gives back what would wait too long, because the jobs that run take longer than those before. */
  releaseStuck(): void {
    for (const held of this.slots.dropStuck()) this.settle.release(held);
  }

  stopTimers(): void {
    this.heartbeat.stop();
    this.#deadlines.stop();
  }

  #lost(held: Held): void {
    this.settle.lost(held);
    this.slots.drop(held);
    held.stop('lease_lost');
  }

  #cancelled(held: Held): void {
    if (held.startedAt > 0) held.stop('cancelled');
    else {
      this.slots.drop(held);
      this.settle.release(held);
    }
  }
}
