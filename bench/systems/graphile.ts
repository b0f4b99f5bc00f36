// graphile-worker 0.18. Its own types are not used: bench/node_modules need not be there for the project's type check.
import type { Handle, Payload, System, Variant, Worker } from './system.js';

interface Utils {
  addJob(name: string, payload: Payload): Promise<unknown>;
  addJobs(jobs: { identifier: string; payload: Payload }[]): Promise<unknown>;
  migrate(): Promise<void>;
  release(): Promise<void>;
}

interface Library {
  makeWorkerUtils(options: object): Promise<Utils>;
  run(options: object): Promise<{ stop(): Promise<void> }>;
  Logger: new (factory: () => () => void) => unknown;
}

// Its logger writes a line per job; without that it is faster.
process.env['NO_LOG_SUCCESS'] = '1';

const load = (): Promise<Library> => import('graphile-worker' as string);

const presets = {
  tuned: { concurrentJobs: 48, maxPoolSize: 12, localQueue: { size: 2000 }, completeJobBatchDelay: 5 },
  defaults: {},
  one: { concurrentJobs: 1 },
  latency: {},
};

export const system: System = {
  counts: `
    select count(*) filter (where last_error is null)::int as unsettled, count(last_error)::int as failed, null::int as done
    from graphile_worker._private_jobs`,
  settled: 'select not exists (select from graphile_worker._private_jobs) as settled',

  async install(url) {
    const utils = await (await load()).makeWorkerUtils({ connectionString: url });
    await utils.migrate();
    await utils.release();
  },

  async producer(url, connections) {
    const utils = await (await load()).makeWorkerUtils({
      connectionString: url,
      maxPoolSize: Math.max(connections, 2),
    });
    return {
      add: (payload) => utils.addJob('noop', payload),
      addMany: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: 'noop', payload }))),
      close: () => utils.release(),
    };
  },

  worker: (url, variant, handle) => new GraphileWorker(url, variant, handle),
};

class GraphileWorker implements Worker {
  readonly #url: string;
  readonly #variant: Variant;
  readonly #handle: Handle;
  #runner: { stop(): Promise<void> } | undefined;

  constructor(url: string, variant: Variant, handle: Handle) {
    this.#url = url;
    this.#variant = variant;
    this.#handle = handle;
  }

  async start(): Promise<void> {
    if (this.#variant === 'forget') throw new Error('graphile-worker always forgets');
    const { run, Logger } = await load();
    const noop = async (payload: unknown) => this.#handle(payload as Payload, 1);
    this.#runner = await run({
      connectionString: this.#url,
      preset: { worker: { ...presets[this.#variant], logger: new Logger(() => () => {}) } },
      noHandleSignals: true,
      taskList: { noop },
      parsedCronItems: [],
    });
  }

  async stop(): Promise<void> {
    await this.#runner?.stop();
  }
}
