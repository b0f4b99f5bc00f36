import pg from 'pg';
import type { PgMill } from '../pgmill.js';
import { Claims } from './claim.js';
import { Deadlines } from './deadlines.js';
import { type Emitter, noCounts } from './events.js';
import { Heartbeat } from './heartbeat.js';
import type { Held } from './held.js';
import { clientConfig, Link } from './link.js';
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
  /**
   * Two connections, which no handler can starve: heartbeats and all settling go here, claims go to the other. So a claim
   * never waits until the disk has the endings of the jobs before. A job meets them in order all the same: what is sent
   * about it here is sent after the claim has been answered, and so committed.
   */
  readonly link: Link;
  readonly claimLink: Link;
  /** A connection for each transactional job that runs; made when the first one does. */
  readonly transactions: pg.Pool;
  /** An answer that takes longer never comes, in milliseconds: the connection is dead. */
  readonly patience: number;
  /** Where jobs wait that cannot start yet; woken at the end. */
  readonly pause = new Sleep();
  readonly #claims: Claims;
  readonly #deadlines: Deadlines;
  /** Short against the lease: heartbeats wait meanwhile. */
  readonly #lockTimeout: string;
  #closing = false;
  #ownsSession = false;

  constructor({ mill, settings, events, onFree, onReturn }: RunnerOptions) {
    this.mill = mill;
    this.settings = settings;
    this.events = events;
    const { concurrency, prefetch, lease } = settings;
    const { pool } = mill;
    this.patience = Math.max(lease, 10_000);
    this.#lockTimeout = `set lock_timeout = ${Math.min(Math.ceil(lease / 10), 2000)}`;
    const newLink = () =>
      new Link({
        pool,
        pipeline: true,
        answerWithin: this.patience,
        setUp: async (client) => {
          if (this.#ownsSession) await client.query(this.#lockTimeout);
          this.settle.retry();
        },
        onLost: (error) => events.emit('error', error),
      });
    this.link = newLink();
    this.claimLink = newLink();
    this.#claims = new Claims(this.claimLink, settings);
    this.transactions = new pg.Pool({ ...clientConfig(pool), max: concurrency });
    this.transactions.on('error', () => {}); // an idle connection broke, and the pool has dropped it
    const start = (held: Held) => (held.handler.transactional ? void runInTransaction(held, this) : runJob(held, this));
    this.slots = new Slots({ concurrency, prefetch, start, onFree });
    this.settle = new Settle({ mill, link: this.link, counts: this.counts, events, onReturn, onAnswer: onFree });
    this.#deadlines = new Deadlines(this.slots.running, (held) => timeOut(held, this));
    this.heartbeat = new Heartbeat({
      mill,
      link: this.link,
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
      await this.link.open(); // nothing is claimed whose ending could not be recorded
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

  /** The session is ours, not a pooler's: a row that somebody holds in a transaction must not hold up all other jobs. */
  async ownsSession(): Promise<void> {
    this.#ownsSession = true;
    const both = [this.link, this.claimLink].map((link) => link.query(this.#lockTimeout));
    await Promise.all(both).catch((error) => this.events.emit('error', error));
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
