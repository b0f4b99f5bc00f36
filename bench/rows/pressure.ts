// Pushes many jobs through while something else in the database gets in the way.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { PgMill } from '../../client/index.js';
import type { Bench, Run } from '../bench.js';
import type { SystemName } from '../systems/system.js';
import { quantile, rate } from './row.js';

export interface Pushed {
  /** Jobs a second in each tenth of the jobs. */
  tenths: number[];
  /** 99 % of the claims within, in each tenth; milliseconds. Only of pgmill. */
  claims: number[];
}

export interface Pressure {
  jobs: number;
  /** Holds a snapshot, and with `locks` also ACCESS SHARE on every table. */
  locks: boolean;
  /** Of each chunk. */
  shares?: { delayed: number; failing: number };
}

export async function push(bench: Bench, name: SystemName, { jobs, locks, shares }: Pressure): Promise<Pushed> {
  return bench.with(name, async (run) => {
    const worker = await run.agent();
    const producer = await run.producer();
    await run.warmUp(producer, worker, 'tuned', 5000);
    const holder = await hold(run.url, locks);
    const probe = name === 'pgmill' ? new Probe(run) : undefined;
    try {
      const ahead = shares ? 60_000 : 20_000;
      // More than is measured, so that the last tenth has a producer beside it as the others have.
      const total = jobs + ahead;
      await worker.call('work', 'tuned', { jobs: total, measured: jobs, settle: true });
      probe?.start();
      const adding = producer.call('addPaced', total, 1000, ahead, shares);
      const [{ tenths, jobs: handled }] = await Promise.all([worker.call('worked', 600_000), adding]);
      await probe?.stop();
      await worker.call('stop');
      await run.check(total);
      if (handled !== total) throw new Error(`${name}: ${handled} handlers ran for ${total} jobs`);
      const took = tenths.map((end, index) => end - (tenths[index - 1] ?? 0));
      return { tenths: took.map((each) => rate(jobs / 10, each)), claims: probe?.quantiles(took) ?? [] };
    } finally {
      await probe?.stop();
      await holder.query('commit');
      await holder.end();
    }
  });
}

/** A transaction that keeps its snapshot, as a report does; with `locks` what pg_dump does. */
async function hold(url: string, locks: boolean): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('begin isolation level repeatable read');
  const { rows } = await client.query(`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema)'`);
  if (locks) for (const { name } of rows) await client.query(`lock table ${name} in access share mode`);
  return client;
}

/** Claims a job now and then beside all that, and so sees what a claim costs: it walks over what is dead in the index. */
class Probe {
  readonly #mill: PgMill;
  readonly #samples: { at: number; took: number }[] = [];
  #start = 0;
  #loop: Promise<void> | undefined;
  #stopped = false;
  #error: unknown;

  constructor(run: Run) {
    this.#mill = new PgMill({ connectionString: run.url });
  }

  start(): void {
    this.#loop = this.#run().catch((error: unknown) => {
      this.#error = error;
    });
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#loop;
    await this.#mill.close();
    if (this.#error !== undefined) throw this.#error;
  }

  /** Of claims in spans that follow each other and take so long. */
  quantiles(spans: number[]): number[] {
    let from = this.#start;
    return spans.map((span) => {
      const inside = this.#samples.filter(({ at }) => at >= from && at < from + span);
      from += span;
      return quantile(
        inside.map(({ took }) => took),
        0.99,
      );
    });
  }

  async #run(): Promise<void> {
    this.#start = performance.now();
    while (!this.#stopped) {
      const at = performance.now();
      // A job of the very queue: taken, and given back, which is not charged.
      const jobs = await this.#mill.getJobs({ worker: 'probe', maxJobs: 1 });
      this.#samples.push({ at, took: performance.now() - at });
      if (jobs.length > 0) await this.#mill.releaseJobs(jobs);
      await sleep(15);
    }
  }
}
