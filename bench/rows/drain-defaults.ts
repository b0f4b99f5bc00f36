import type { SystemName } from '../systems/system.js';
import { drain } from './drains.js';
import { atLeast, type Row, series, titles } from './row.js';

export const drainDefaults: Row = {
  name: 'drain-defaults',
  title: "the same with the worker's defaults",

  async run(bench) {
    const jobs = { pgmill: bench.sizes.quick ? 20_000 : 50_000, graphile: bench.sizes.quick ? 3000 : 10_000 };
    const names = ['pgmill', 'graphile'] as const satisfies SystemName[];
    const drains = await bench.inTurns(names, (name) => drain(bench, name, 'defaults', jobs[name], 1000));
    const rates = names.map((name) =>
      series(
        titles[name],
        drains[name].map(({ rate }) => rate),
      ),
    );
    const [pgmill, graphile] = rates.map(({ median }) => median) as [number, number];
    return [
      {
        row: 'drain-defaults',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: rates,
        goals: [atLeast(5, '× graphile-worker', pgmill / graphile)],
        note: `pgmill ${jobs.pgmill.toLocaleString('en')} jobs, graphile-worker ${jobs.graphile.toLocaleString('en')}; history kept`,
      },
    ];
  },
};
