import { systemNames } from '../systems/system.js';
import { atLeast, type Row, rate, series, titles } from './row.js';

export const addMany: Row = {
  name: 'add-many',
  title: 'add_jobs in chunks of 1000',

  async run(bench) {
    const jobs = bench.sizes.quick ? 20_000 : 100_000;
    const rates = await bench.inTurns(systemNames, (name) =>
      bench.with(name, async (run) => {
        const producer = await run.producer();
        await producer.call('addMany', 5000, 1000);
        const { took } = await producer.call('addMany', jobs, 1000);
        await run.check(0, { left: jobs + 5000 });
        return rate(jobs, took);
      }),
    );
    const all = systemNames.map((name) => series(titles[name], rates[name]));
    const [floor, pgmill] = all.map(({ median }) => median) as [number, number];
    return [
      {
        row: 'add-many',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: all,
        goals: [atLeast(0.75, 'of the floor', pgmill / floor)],
        note: `${jobs.toLocaleString('en')} jobs, one connection`,
      },
    ];
  },
};
