import { PgMill } from '../../client/index.js';
import type { Bench } from '../bench.js';
import { atMost, quantile, type Row, series } from './row.js';

export const rareQueue: Row = {
  name: 'rare-queue',
  title: 'a claim of a job in a rare queue, beside many jobs of another',

  async run(bench) {
    const others = bench.sizes.quick ? 100_000 : 1_000_000;
    const claims = bench.sizes.quick ? 200 : 500;
    const { empty, beside } = await bench.inTurns(
      ['empty', 'beside'],
      (which) => claimTimes(bench, which === 'empty' ? 0 : others, claims),
      1,
    );
    const all = [
      series(
        'nothing else',
        empty.map(({ queue }) => queue),
      ),
      series(
        `beside ${others.toLocaleString('en')} jobs`,
        beside.map(({ queue }) => queue),
      ),
      series(
        'a rare name in the crowded queue',
        beside.map(({ name }) => name),
      ),
    ];
    const [alone, crowded] = all.map(({ median }) => median) as [number, number];
    return [
      {
        row: 'rare-queue',
        title: this.title,
        unit: 'ms',
        better: 'less',
        series: all,
        goals: [atMost(2, "× the empty system's", crowded / alone)],
        note: `median of ${claims} calls of get_jobs, each with one job to find; a rare name is shown for information, it has no target`,
      },
    ];
  },
};

async function claimTimes(bench: Bench, others: number, claims: number): Promise<{ queue: number; name: number }> {
  return bench.with('pgmill', async (run) => {
    if (others > 0) await (await run.producer()).call('addMany', others, 1000);
    const mill = new PgMill({ connectionString: run.url });
    try {
      const queue: number[] = [];
      const name: number[] = [];
      for (let n = 0; n < claims + 20; n++) {
        await mill.addJob('rare', {}, { queue: 'rare' });
        queue.push(await timed(mill, { queues: ['rare'] }));
        if (n % 20 > 0) continue;
        await mill.addJob('rare', {});
        name.push(await timed(mill, { names: ['rare'] }));
      }
      await run.check(queue.length + name.length, { left: others });
      return { queue: quantile(queue.slice(20), 0.5), name: quantile(name.slice(1), 0.5) };
    } finally {
      await mill.close();
    }
  });
}

async function timed(mill: PgMill, filter: { queues?: string[]; names?: string[] }): Promise<number> {
  const start = performance.now();
  const jobs = await mill.getJobs({ worker: 'bench', maxJobs: 10, ...filter });
  const took = performance.now() - start;
  if (jobs.length !== 1) throw new Error(`a claim found ${jobs.length} jobs instead of one`);
  await mill.completeJobs(jobs);
  return took;
}
