import type { Bench } from '../bench.js';
import { systemNames } from '../systems/system.js';
import { atLeast, type Result, type Row, rate, series, titles } from './row.js';

/** add_job, one call a job, as users call it. */
function addOne(connections: number): Row {
  const title = `add_job one by one, ${connections} connection${connections > 1 ? 's' : ''}`;
  return { name: `add-one-${connections}`, title, run: (bench) => measure(bench, connections) };

  async function measure(bench: Bench, connections: number): Promise<Result[]> {
    const milliseconds = bench.sizes.quick ? 1000 : 2500;
    const rates = await bench.inTurns(systemNames, (name) =>
      bench.with(name, async (run) => {
        const producer = await run.producer(connections);
        const warm = await producer.call('addOnes', milliseconds / 4, connections);
        const { jobs, took } = await producer.call('addOnes', milliseconds, connections);
        await run.check(0, { left: warm.jobs + jobs });
        return rate(jobs, took);
      }),
    );
    const all = systemNames.map((name) => series(titles[name], rates[name]));
    const [floor, pgmill] = all.map(({ median }) => median) as [number, number];
    return [
      {
        row: `add-one-${connections}`,
        title,
        unit: 'jobs/s',
        better: 'more',
        series: all,
        goals: [atLeast(0.75, 'of the floor', pgmill / floor)],
        note: `${milliseconds / 1000} s each, a commit for each job`,
      },
    ];
  }
}

export const addOneAlone = addOne(1);
export const addOneTogether = addOne(10);
