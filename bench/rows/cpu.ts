import { contestantNames, contestantTitles, drainSize, tunedDrains } from './drains.js';
import { atMost, median, type Row, series } from './row.js';

export const cpu: Row = {
  name: 'cpu',
  title: 'CPU per job, PostgreSQL + Node.js, add to finished',

  async run(bench) {
    const all = await tunedDrains(bench);
    const sums = contestantNames.map((key) =>
      series(
        contestantTitles[key],
        all[key].map(({ server, node }) => server + node),
      ),
    );
    const [, pgmill, , graphile] = sums.map((each) => each.median) as [number, number, number, number];
    const parts = contestantNames.map((key) => {
      const [server, node] = (['server', 'node'] as const).map((part) => median(all[key].map((each) => each[part])));
      return `${contestantTitles[key]} ${server?.toFixed(0)} + ${node?.toFixed(0)}`;
    });
    return [
      {
        row: 'cpu',
        title: this.title,
        unit: 'µs',
        better: 'less',
        series: sums,
        goals: [atMost(0.45, '× graphile tuned', pgmill / graphile)],
        note: `${drainSize(bench).toLocaleString('en')} jobs, in the runs of the row drain: ${parts.join(', ')}`,
      },
    ];
  },
};
