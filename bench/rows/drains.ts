// Adds jobs, then has one worker process do them: what the rows drain, wal and cpu look at.
import type { Bench } from '../bench.js';
import type { SystemName, Variant } from '../systems/system.js';
import { rate } from './row.js';

export interface Drain {
  /** Jobs a second, from the first handler's start until the database has settled all. */
  rate: number;
  /** Bytes of WAL per job, from add to finished. */
  wal: number;
  /** CPU per job, from add to finished, in microseconds. */
  server: number;
  node: number;
}

export async function drain(
  bench: Bench,
  name: SystemName,
  variant: Variant,
  jobs: number,
  warm = 5000,
): Promise<Drain> {
  return bench.with(name, async (run) => {
    const worker = await run.agent();
    const producer = await run.producer();
    await run.warmUp(producer, worker, variant, warm);

    const before = await run.spent();
    const added = await producer.call('addMany', jobs, 1000);
    await worker.call('work', variant, { jobs, settle: true });
    const worked = await worker.call('worked', 200_000);
    const after = await run.spent();
    await worker.call('stop');
    await run.check(jobs, { forgotten: variant === 'forget' });
    if (worked.jobs !== jobs) throw new Error(`${name}: ${worked.jobs} handlers ran for ${jobs} jobs`);
    return {
      rate: rate(jobs, worked.settledAfter ?? Number.NaN),
      wal: Number(after.wal - before.wal) / jobs,
      server: ((after.cpu - before.cpu) / jobs) * 1000,
      node: ((added.cpu + worked.cpu) / jobs) * 1000,
    };
  });
}

export const contestants = {
  floor: ['floor', 'tuned'],
  pgmill: ['pgmill', 'tuned'],
  forgetful: ['pgmill', 'forget'],
  graphile: ['graphile', 'tuned'],
  pgboss: ['pgboss', 'tuned'],
} as const satisfies Record<string, readonly [SystemName, Variant]>;

export const contestantTitles = {
  floor: 'floor',
  pgmill: 'pgmill',
  forgetful: 'pgmill, keep: false',
  graphile: 'graphile-worker tuned',
  pgboss: 'pg-boss tuned',
} as const;

export type Contestant = keyof typeof contestants;
export const contestantNames = Object.keys(contestants) as Contestant[];

export function drainSize(bench: Bench): number {
  return bench.sizes.quick ? 20_000 : 100_000;
}

const measured = new WeakMap<Bench, Promise<Record<Contestant, Drain[]>>>();

/** All of them, once for the rows that look at them. */
export function tunedDrains(bench: Bench): Promise<Record<Contestant, Drain[]>> {
  let all = measured.get(bench);
  if (all === undefined) {
    all = bench.inTurns(contestantNames, (key) => {
      const [name, variant] = contestants[key];
      return drain(bench, name, variant, drainSize(bench));
    });
    measured.set(bench, all);
  }
  return all;
}
