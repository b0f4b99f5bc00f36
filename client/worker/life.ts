import type { PgMill } from '../pgmill.js';
import { Doze } from './doze.js';
import { drain, within } from './drain.js';
import type { Emitter } from './events.js';
import { Link } from './link.js';
import { Listen } from './listen.js';
import { Poll } from './poll.js';
import { Runner } from './runner.js';
import type { Settings } from './settings.js';
import { Sleep } from './sleep.js';
import { Upkeep } from './upkeep.js';

/** How long a claim may take when we stop, in milliseconds. */
const claimPatience = 2000;

/** What a worker is made of, from start() to stop(). Each part runs by itself, and they wake each other. */
export class Life {
  readonly #settings: Settings;
  readonly #runner: Runner;
  readonly #doze: Doze;
  readonly #poll: Poll;
  readonly #listen: Listen;
  readonly #upkeep: Upkeep;
  #loop: Promise<void> | undefined;
  #ended = false;

  constructor(mill: PgMill, settings: Settings, events: Emitter) {
    this.#settings = settings;
    const { pool } = mill;
    const sleep = new Sleep();
    const wake = () => sleep.wake();
    const failed = (error: unknown) => void events.emit('error', error);

    this.#runner = new Runner({
      mill,
      settings,
      events,
      onFree: () => this.#poll.onFree(),
      onReturn: () => this.#listen.works || wake(),
    });
    this.#doze = new Doze({
      mill,
      link: new Link({ pool, onLost: () => this.#doze.onLost() }),
      events,
      queues: settings.filter.queues,
      look: wake,
    });
    this.#poll = new Poll(this.#runner, this.#doze, sleep);
    this.#listen = new Listen({
      pool,
      notify: (channel) => this.#runner.connections.settling.query('select pg_notify($1, $2)', [channel, '']),
      tested: (works) => this.#tested(works),
      wake,
      cancel: () => void this.#runner.heartbeat.now(),
      failed,
    });
    this.#upkeep = new Upkeep({ mill, also: () => this.#runner.releaseStuck(), failed });
  }

  /** Resolves when the database has answered the first claim, or at the end. */
  async start(): Promise<void> {
    if (this.#ended) return;
    this.#runner.heartbeat.start();
    void this.#upkeep.run();
    if (this.#settings.listen) void this.#listen.run();
    await new Promise<void>((resolve) => {
      this.#loop = this.#poll.run(resolve).finally(resolve);
    });
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#runner.releaseUnstarted();
    this.#poll.stop();
    this.#listen.stop();
    this.#upkeep.stop();
    // A claim that is under way may bring jobs; they are given back too.
    await within(claimPatience, this.#loop ?? Promise.resolve());
    await Promise.all([this.#doze.stop(), drain(this.#runner, this.#settings.stopTimeout)]);
    await this.#loop;
  }

  #tested(works: boolean): void {
    if (works) {
      this.#doze.enable();
      void this.#runner.connections.ownsSession();
    } else {
      this.#settings.logger.warn(
        'pgmill: LISTEN does not work here (a transaction pooler?), so jobs are found by polling alone.',
      );
    }
  }
}
