import { contestantNames, contestantTitles, drainSize, tunedDrains } from './drains.js';
import { atMost, type Row, series } from './row.js';

export const wal: Row = {
  name: 'wal',
  title: 'WAL per job, add to finished',

  async run(bench) {
    const all = await tunedDrains(bench);
    const bytes = contestantNames.map((key) =>
      series(
        contestantTitles[key],
        all[key].map((drain) => drain.wal),
      ),
    );
    const [, pgmill, forgetful] = bytes.map(({ median }) => median) as [number, number, number];
    return [
      {
        row: 'wal',
        title: this.title,
        unit: 'bytes',
        better: 'less',
        series: bytes,
        goals: [atMost(1150, 'bytes without history', forgetful), atMost(1500, 'bytes with history', pgmill)],
        note: `${drainSize(bench).toLocaleString('en')} jobs, in the runs of the row drain`,
      },
    ];
  },
};
