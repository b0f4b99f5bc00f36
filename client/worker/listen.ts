import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { Link } from './link.js';
import { backoff, Sleep } from './sleep.js';

export interface ListenOptions {
  pool: pg.Pool;
  /** Sends a notification from another connection. */
  notify: (channel: string) => Promise<unknown>;
  /** Notifications arrive; or they do not (yet), and we are behind a transaction pooler. */
  tested: (works: boolean) => void;
  /** There may be new jobs. */
  wake: () => void;
  /** Somebody asked for a running job to be cancelled. */
  cancel: () => void;
  failed: (error: unknown) => void;
}

/** A notification that takes longer, in milliseconds, is taken not to come … */
const patience = 1000;
/** … but perhaps the machine was only busy: it is tried again after this. */
const tryAgainAfter = 30_000;

/** Listens on a connection of its own, and opens another whenever it breaks. */
export class Listen {
  readonly #options: ListenOptions;
  readonly #pause = new Sleep();
  readonly #testChannel = `pgmill_test_${randomBytes(8).toString('hex')}`;
  readonly #heard = new Sleep();
  readonly #link: Link;
  #stopped = false;
  #works: boolean | undefined;

  constructor(options: ListenOptions) {
    this.#options = options;
    this.#link = new Link({
      pool: options.pool,
      setUp: (client) => this.#listen(client),
      onLost: (error) => {
        options.failed(error);
        this.#pause.wake();
      },
    });
  }

  /** Runs until stop(). */
  async run(): Promise<void> {
    for (let failures = 0; !this.#stopped; ) {
      const { wakes } = this.#pause;
      try {
        await this.#link.open();
        if (this.#works !== true) await this.#test();
        if (this.#stopped) break;
        // Notifications were lost while there was no connection.
        this.#options.wake();
        this.#options.cancel();
        failures = 0;
        await this.#pause.wait(this.#works ? Number.POSITIVE_INFINITY : tryAgainAfter, wakes);
      } catch (error) {
        if (this.#stopped) break;
        this.#options.failed(error);
        await this.#pause.wait(backoff(failures++));
      }
    }
    await this.#link.close();
  }

  /** Notifications are known to arrive; not while there is no connection. */
  get works(): boolean {
    return this.#works === true;
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.wake();
    this.#heard.wake();
  }

  async #listen(client: pg.Client): Promise<void> {
    client.on('notification', ({ channel }) => {
      if (channel === 'pgmill') this.#options.wake();
      else if (channel === 'pgmill_cancel') this.#options.cancel();
      else this.#heard.wake();
    });
    await client.query(`listen pgmill; listen pgmill_cancel; listen ${this.#testChannel}`);
  }

  /** Finds out whether a notification arrives, and says so when that is news. */
  async #test(): Promise<void> {
    const { wakes } = this.#heard;
    await this.#options.notify(this.#testChannel);
    await this.#heard.wait(patience, wakes);
    const works = this.#heard.wakes > wakes;
    if (this.#stopped || works === this.#works) return;
    this.#works = works;
    this.#options.tested(works);
  }
}
