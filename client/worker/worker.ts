import { EventEmitter } from 'node:events';
import type { PgMill } from '../pgmill.js';
import type { AnyJobs } from '../types.js';
import { type Emitter, safeEmitter, type WorkerEvents } from './events.js';
import { Life } from './life.js';
import { type AnyOptions, readSettings, type Settings } from './settings.js';

/** Runs jobs from start() to stop(). mill.worker() makes one. */
export class Worker<Jobs = AnyJobs> extends EventEmitter<WorkerEvents> {
  readonly #mill: PgMill;
  readonly #settings: Settings;
  readonly #events: Emitter;
  #life: Life | undefined;
  #started: Promise<void> = Promise.resolve();
  #stopped: Promise<unknown> = Promise.resolve();

  /** What the options may be, the type of mill.worker() says. */
  constructor(mill: PgMill<Jobs>, options: AnyOptions) {
    super();
    this.#mill = mill as unknown as PgMill;
    this.#settings = readSettings(options);
    this.#events = safeEmitter(this, this.#settings.logger);
  }

  /** Who holds the leases, as the database shows it. */
  get id(): string {
    return this.#settings.workerId;
  }

  /**
   * Starts; resolves when the database has answered the first claim. Starting twice is starting once. After stop() the
   * worker may be started again.
   */
  start(): Promise<void> {
    if (this.#life === undefined) {
      const life = new Life(this.#mill, this.#settings, this.#events);
      this.#life = life;
      this.#started = this.#stopped.then(() => life.start());
    }
    return this.#started;
  }

  /**
   * Stops: claims nothing more, gives back what has not started, and waits for what runs. After `stopTimeout` it
   * aborts the signals of those, gives them back too, and returns. Never rejects.
   */
  async stop(): Promise<void> {
    if (this.#life !== undefined) {
      this.#stopped = Promise.all([this.#stopped, this.#life.end()]);
      this.#life = undefined;
    }
    await this.#stopped;
  }
}
