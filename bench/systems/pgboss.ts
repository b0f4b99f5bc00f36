// pg-boss 12. It has no way to delete a job as it completes: completed jobs stay for a week. Its own types are not used:
// bench/node_modules need not be there for the project's type check.
import type { Handle, Payload, System, Variant, Worker } from './system.js';

interface Boss {
  start(): Promise<unknown>;
  stop(options: object): Promise<unknown>;
  on(event: string, listener: (error: Error) => void): unknown;
  createQueue(name: string, options: object): Promise<unknown>;
  send(name: string, data: Payload): Promise<unknown>;
  insert(name: string, jobs: { data: Payload }[]): Promise<unknown>;
  work(name: string, options: object, handler: (jobs: { data: Payload }[]) => Promise<unknown>): Promise<unknown>;
}

async function newBoss(options: object): Promise<Boss> {
  const { PgBoss } = (await import('pg-boss' as string)) as { PgBoss: new (options: object) => Boss };
  const boss = new PgBoss(options);
  boss.on('error', (error) => console.error(`pg-boss: ${error.message}`));
  return boss;
}

const options = {
  tuned: { batchSize: 1000, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
  defaults: {},
  one: { batchSize: 1 },
  latency: { batchSize: 1000, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
};

export const system: System = {
  counts: `
    select
      count(*) filter (where state in ('created', 'active'))::int as unsettled,
      count(*) filter (where state in ('retry', 'failed', 'cancelled'))::int as failed,
      count(*) filter (where state = 'completed')::int as done
    from pgboss.job where name = 'noop'`,
  settled: `select not exists (select from pgboss.job where name = 'noop' and state < 'completed') as settled`,

  async install(url) {
    const boss = await newBoss({ connectionString: url });
    await boss.start();
    await boss.createQueue('noop', { notify: true });
    await boss.stop({ graceful: false });
  },

  async producer(url, connections) {
    const boss = await newBoss({ connectionString: url, max: connections, supervise: false, schedule: false });
    await boss.start();
    return {
      add: (payload) => boss.send('noop', payload),
      addMany: (payloads) =>
        boss.insert(
          'noop',
          payloads.map((data) => ({ data })),
        ),
      close: async () => {
        await boss.stop({ graceful: false });
      },
    };
  },

  worker: (url, variant, handle) => new BossWorker(url, variant, handle),
};

class BossWorker implements Worker {
  readonly #url: string;
  readonly #variant: Variant;
  readonly #handle: Handle;
  #boss: Boss | undefined;

  constructor(url: string, variant: Variant, handle: Handle) {
    this.#url = url;
    this.#variant = variant;
    this.#handle = handle;
  }

  async start(): Promise<void> {
    if (this.#variant === 'forget') throw new Error('pg-boss always keeps');
    this.#boss = await newBoss({ connectionString: this.#url, useListenNotify: true });
    await this.#boss.start();
    await this.#boss.work('noop', options[this.#variant], async (jobs) => {
      for (const { data } of jobs) this.#handle(data, 1);
    });
  }

  async stop(): Promise<void> {
    await this.#boss?.stop({ graceful: true, timeout: 5000 });
  }
}
