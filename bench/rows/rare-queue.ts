import { PgMill } from '../../client/index.js';
import type { Run } from '../bench.js';
import { atMost, quantile, type Row, series } from './row.js';

export const rareQueue: Row = {
  name: 'rare-queue',
  title: 'a claim of a job in a rare queue, beside many jobs of another',

  async run(bench) {
    const others = bench.sizes.quick ? 100_000 : 1_000_000;
    const claims = bench.sizes.quick ? 200 : 500;
    const times = await bench.with('pgmill', (empty) =>
      bench.with('pgmill', (crowded) => measure(empty, crowded, others, claims)),
    );
    const all = [
      series('nothing else', [quantile(times.alone, 0.5)]),
      series(`beside ${others.toLocaleString('en')} jobs`, [quantile(times.beside, 0.5)]),
      series('a rare name in the crowded queue', [quantile(times.name, 0.5)]),
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
        note: `median of ${claims} calls of get_jobs, by turns in two databases, each with one job to find; a rare name is shown for information, it has no target`,
      },
    ];
  },
};

/** Milliseconds. By turns in both databases, so that what else the machine does burdens both. */
async function measure(
  empty: Run,
  crowded: Run,
  others: number,
  claims: number,
): Promise<Record<'alone' | 'beside' | 'name', number[]>> {
  await (await crowded.producer()).call('addMany', others, 1000);
  const mills = {
    alone: new PgMill({ connectionString: empty.url }),
    beside: new PgMill({ connectionString: crowded.url }),
  };
  const times = { alone: [] as number[], beside: [] as number[], name: [] as number[] };
  const [warm, names] = [20, Math.round(claims / 20)];
  try {
    for (let n = 0; n < warm + claims; n++) {
      for (const which of ['alone', 'beside'] as const) {
        await mills[which].addJob('rare', {}, { queue: 'rare' });
        times[which].push(await timed(mills[which], { queues: ['rare'] }));
      }
    }
    for (let n = 0; n < names; n++) {
      await mills.beside.addJob('rare', {});
      times.name.push(await timed(mills.beside, { names: ['rare'] }));
    }
    await empty.check(times.alone.length);
    await crowded.check(times.beside.length + names, { left: others });
    return { ...times, alone: times.alone.slice(warm), beside: times.beside.slice(warm) };
  } finally {
    await Promise.all([mills.alone.close(), mills.beside.close()]);
  }
}

async function timed(mill: PgMill, filter: { queues?: string[]; names?: string[] }): Promise<number> {
  const start = performance.now();
  const jobs = await mill.getJobs({ worker: 'bench', maxJobs: 10, ...filter });
  const took = performance.now() - start;
  if (jobs.length !== 1) throw new Error(`a claim found ${jobs.length} jobs instead of one`);
  await mill.completeJobs(jobs);
  return took;
}
