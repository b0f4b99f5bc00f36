// pgmill as a user would have it, with prepared statements and its own pool.
import { PgMill } from '../../client/index.js';
import type { Handle, Payload, System, Variant, Worker } from './system.js';

interface Jobs {
  noop: Payload;
}

/** What the README gives for many short jobs. */
export const tuned = { concurrency: 100, prefetch: 4000 } as const;

const options = {
  tuned,
  forget: { ...tuned, keep: false },
  defaults: {},
  one: { concurrency: 1, prefetch: 0 },
  latency: {},
} satisfies Record<Variant, object>;

export const system: System = {
  counts: `
    select
      ((select count(*) from pgmill.waiting) + (select count(*) from pgmill.ready) + (select count(*) from pgmill.running))::int as unsettled,
      (select count(*) from pgmill.finished where state <> 'completed')::int as failed,
      (select count(*) from pgmill.finished where state = 'completed')::int as done`,
  settled: `
    select not exists (select from pgmill.running) and not exists (select from pgmill.ready)
      and not exists (select from pgmill.waiting) as settled`,

  async install(url) {
    const [{ installScript }, { default: pg }] = await Promise.all([
      import('../../sql/generate-install.js'),
      import('pg'),
    ]);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(installScript({ current: true }));
    await client.end();
  },

  // Its pool opens as many connections as calls are under way, at most 10.
  async producer(url) {
    const mill = new PgMill<Jobs>({ connectionString: url });
    return {
      add: (payload) => mill.addJob('noop', payload),
      addMany: (payloads, { delayed = 0 } = {}) => {
        const later = new Date(Date.now() + 2000);
        return mill.addJobs(
          payloads.map((payload, index) => {
            if (payload.fails) return { name: 'noop', payload, retryBase: 250 };
            return index < delayed ? { name: 'noop', payload, runAt: later } : { name: 'noop', payload };
          }),
        );
      },
      close: () => mill.close(),
    };
  },

  worker: (url, variant, handle) => new MillWorker(url, variant, handle),
};

class MillWorker implements Worker {
  readonly #mill: PgMill<Jobs>;
  readonly #worker: Worker;

  constructor(url: string, variant: Variant, handle: Handle) {
    this.#mill = new PgMill<Jobs>({ connectionString: url });
    this.#worker = this.#mill.worker({
      ...options[variant],
      handlers: { noop: async (payload, { attempt }) => handle(payload, attempt) },
    });
  }

  start(): Promise<void> {
    return this.#worker.start();
  }

  async stop(): Promise<void> {
    await this.#worker.stop();
    await this.#mill.close();
  }
}
