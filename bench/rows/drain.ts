import { contestantNames, contestantTitles, drainSize, tunedDrains } from './drains.js';
import { atLeast, type Row, series } from './row.js';

export const drainRow: Row = {
  name: 'drain',
  title: 'no-op jobs through one worker process',

  async run(bench) {
    const all = await tunedDrains(bench);
    const rates = contestantNames.map((key) =>
      series(
        contestantTitles[key],
        all[key].map(({ rate }) => rate),
      ),
    );
    const [floor, pgmill, forgetful, graphile] = rates.map(({ median }) => median) as [number, number, number, number];
    return [
      {
        row: 'drain',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: rates,
        goals: [
          atLeast(2, '× graphile tuned, with history', pgmill / graphile),
          atLeast(0.65, 'of the floor, with history', pgmill / floor),
          atLeast(2.5, '× graphile tuned, keep: false', forgetful / graphile),
          atLeast(0.85, 'of the floor, keep: false', forgetful / floor),
        ],
        note: `${drainSize(bench).toLocaleString('en')} jobs; floor and graphile-worker delete them, pg-boss and pgmill keep them`,
      },
    ];
  },
};
