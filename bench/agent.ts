// A process that adds jobs or works on them, told what to do by the benchmark over IPC. Runs compiled, as packages do.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { notifyingProducer } from './systems/floor.js';
import {
  loadSystem,
  now,
  type Payload,
  type Producer,
  type System,
  type SystemName,
  type Variant,
} from './systems/system.js';

export interface Added {
  jobs: number;
  /** Milliseconds. */
  took: number;
  /** CPU of this process, in milliseconds. */
  cpu: number;
}

export interface Worked {
  jobs: number;
  /** From the first handler's start to the last one's, in milliseconds. */
  took: number;
  /** From the first handler's start to the moment the database had settled all; null when that was not waited for. */
  settledAfter: number | null;
  cpu: number;
  /** When each tenth of the measured jobs had been started, in milliseconds since the first. */
  tenths: number[];
  /** From add to handler, in milliseconds. */
  latencies: number[];
}

export interface Expect {
  jobs: number;
  /** The tenths are of so many of them, the first ones. */
  measured?: number;
  /** Wait until the database has settled all. */
  settle?: boolean;
  /** Collect latencies. */
  latencies?: boolean;
}

const pad = 'x'.repeat(70);
let system: System;
let url: string;
let producer: Producer | undefined;
let tally: Tally | undefined;
let stopWorker: (() => Promise<void>) | undefined;
/** Asks the database whether all is settled. */
let asking: pg.Client | undefined;
/** How far the worker of this run is, which is another process. */
let done = 0;
let stopAdding = false;

/** Counts handler calls. */
class Tally {
  count = 0;
  first = 0;
  last = 0;
  readonly tenths: number[] = [];
  readonly latencies: number[] = [];
  readonly #expect: Expect;
  readonly #tenth: number;
  #next: number;
  #full: () => void = () => {};
  readonly full = new Promise<void>((resolve) => {
    this.#full = resolve;
  });

  constructor(expect: Expect) {
    this.#expect = expect;
    this.#tenth = (expect.measured ?? expect.jobs) / 10;
    this.#next = this.#tenth;
  }

  hit(payload: Payload): void {
    if (this.count === 0) this.first = performance.now();
    this.count += 1;
    if (this.#expect.latencies) this.latencies.push(now() - payload.at);
    if (this.count < this.#next) return;
    this.last = performance.now();
    if (this.tenths.length < 10) this.tenths.push(this.last - this.first);
    this.#next = this.tenths.length < 10 ? this.#tenth * (this.tenths.length + 1) : this.#expect.jobs;
    if (this.count >= this.#expect.jobs) this.#full();
  }
}

const methods = {
  async open(name: SystemName, database: string): Promise<void> {
    system = await loadSystem(name);
    url = database;
  },

  async produce(connections: number, notify = false): Promise<void> {
    producer = await (notify ? notifyingProducer(url) : system.producer(url, connections));
  },

  /** Adds jobs one by one, on several connections at once, for so long. */
  async addOnes(milliseconds: number, connections: number): Promise<Added> {
    const { add } = opened();
    const end = performance.now() + milliseconds;
    const loop = async () => {
      let jobs = 0;
      for (; performance.now() < end; jobs++) await add(payload(jobs));
      return jobs;
    };
    return measured(async () => {
      const counts = await Promise.all(Array.from({ length: connections }, loop));
      return counts.reduce((sum, count) => sum + count, 0);
    });
  },

  /** Adds so many jobs, `chunk` a call. */
  async addMany(jobs: number, chunk: number): Promise<Added> {
    const { addMany } = opened();
    return measured(async () => {
      for (let n = 0; n < jobs; n += chunk) await addMany(payloads(n, Math.min(chunk, jobs - n)));
      return jobs;
    });
  },

  /**
   * Adds jobs in chunks, with at most `ahead` that the worker has not done: `jobs` of them, or until stopAdding. Of each
   * chunk these shares are delayed, or fail at first.
   */
  async addPaced(jobs: number, chunk: number, ahead: number, shares = { delayed: 0, failing: 0 }): Promise<Added> {
    const { addMany } = opened();
    stopAdding = false;
    return measured(async () => {
      let n = 0;
      for (; n < jobs && !stopAdding; n += chunk) {
        const size = Math.min(chunk, jobs - n);
        while (n + size - done > ahead && !stopAdding) await sleep(1);
        if (stopAdding) break;
        const list = payloads(n, size);
        for (const each of list.slice(size - Math.round(size * shares.failing))) each.fails = true;
        await addMany(list, { delayed: Math.round(size * shares.delayed) });
      }
      return Math.min(n, jobs);
    });
  },

  async stopAdding(): Promise<void> {
    stopAdding = true;
  },

  /** Adds so many jobs at a steady pace, one by one. */
  async addSteadily(jobs: number, perSecond: number): Promise<Added> {
    const { add } = opened();
    const start = performance.now();
    return measured(async () => {
      const adds: Promise<unknown>[] = [];
      for (let n = 0; n < jobs; n++) {
        // A little off the beat, so that no interval of ours matches one of a worker's.
        const due = start + ((n + Math.random() / 2) * 1000) / perSecond;
        await sleep(Math.max(due - performance.now(), 0));
        adds.push(add(payload(n)));
      }
      await Promise.all(adds);
      return jobs;
    });
  },

  /** Starts a worker that is to do what follows. */
  async work(variant: Variant, expect: Expect): Promise<void> {
    const current = new Tally(expect);
    tally = current;
    const worker = system.worker(url, variant, (job, attempt) => {
      if (job.fails && attempt === 1) throw new Error('The first attempt fails.');
      current.hit(job);
    });
    stopWorker = () => worker.stop();
    await asking?.end();
    asking = undefined;
    if (expect.settle) {
      asking = new pg.Client({ connectionString: url });
      asking.on('error', () => {}); // the next question fails
      await asking.connect();
    }
    started = { cpu: process.cpuUsage(), report: setInterval(() => process.send?.({ done: current.count }), 10) };
    await worker.start();
  },

  /** Waits until the worker has done what was expected. */
  async worked(milliseconds: number): Promise<Worked> {
    const current = tally as Tally;
    await limited(current.full, milliseconds, () => `${current.count} jobs were done`);
    const settledAfter = asking ? (await whenSettled(asking, milliseconds)) - current.first : null;
    const { user, system: kernel } = process.cpuUsage(started.cpu);
    return {
      jobs: current.count,
      took: current.last - current.first,
      settledAfter,
      cpu: (user + kernel) / 1000,
      tenths: current.tenths,
      latencies: current.latencies,
    };
  },

  async count(): Promise<number> {
    return tally?.count ?? 0;
  },

  async stop(): Promise<void> {
    clearInterval(started.report);
    await stopWorker?.();
    stopWorker = undefined;
    await asking?.end();
    asking = undefined;
    process.send?.({ done: 0 });
  },

  async close(): Promise<void> {
    await producer?.close();
  },
};

export type Methods = typeof methods;

let started: { cpu: NodeJS.CpuUsage; report: NodeJS.Timeout };

function opened(): Producer {
  if (!producer) throw new Error('produce() comes first');
  return producer;
}

function payload(n: number): Payload {
  return { n, at: now(), text: pad };
}

function payloads(from: number, count: number): Payload[] {
  return Array.from({ length: count }, (_, index) => payload(from + index));
}

async function measured(run: () => Promise<number>): Promise<Added> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const jobs = await run();
  const took = performance.now() - start;
  const { user, system: kernel } = process.cpuUsage(cpu);
  return { jobs, took, cpu: (user + kernel) / 1000 };
}

/** When the database had settled all: the asking itself is not counted. */
async function whenSettled(client: pg.Client, milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds;
  for (;;) {
    const asked = performance.now();
    const { rows } = await client.query(system.settled);
    if (rows[0]?.settled === true) return asked;
    if (asked > end) throw new Error(`not all jobs were settled within ${milliseconds} ms`);
    await sleep(1);
  }
}

async function limited(promise: Promise<void>, milliseconds: number, state: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${milliseconds} ms only ${state()}`)), milliseconds);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

process.on(
  'message',
  async (message: { id: number; method: keyof Methods; args: unknown[] } | { progress: number }) => {
    if ('progress' in message) {
      done = message.progress;
      return;
    }
    const { id, method, args } = message;
    try {
      const result = await (methods[method] as (...args: unknown[]) => Promise<unknown>)(...args);
      process.send?.({ id, result });
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.message : String(error) });
    }
  },
);
process.on('disconnect', () => process.exit(0));
