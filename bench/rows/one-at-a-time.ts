import type { SystemName } from '../systems/system.js';
import { drain } from './drains.js';
import { atLeast, type Row, series, titles } from './row.js';

export const oneAtATime: Row = {
  name: 'one-at-a-time',
  title: 'one job at a time, none claimed ahead',

  async run(bench) {
    const jobs = bench.sizes.quick ? 1000 : 3000;
    const names = ['floor', 'pgmill', 'graphile'] as const satisfies SystemName[];
    const drains = await bench.inTurns(names, (name) => drain(bench, name, 'one', jobs, 300));
    const rates = names.map((name) =>
      series(
        titles[name],
        drains[name].map(({ rate }) => rate),
      ),
    );
    const [, pgmill, graphile] = rates.map(({ median }) => median) as [number, number, number];
    return [
      {
        row: 'one-at-a-time',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: rates,
        goals: [atLeast(1.5, '× graphile-worker', pgmill / graphile)],
        note: `${jobs.toLocaleString('en')} jobs; pg-boss waits half a second between two jobs and is left out`,
      },
    ];
  },
};
