import { push } from './pressure.js';
import type { Row } from './row.js';
import { curves, flat } from './snapshot.js';

export const dump: Row = {
  name: 'dump',
  title: 'jobs pushed through while a reader holds ACCESS SHARE on every table',

  async run(bench) {
    const jobs = bench.sizes.quick ? 100_000 : 1_000_000;
    const pgmill = await push(bench, 'pgmill', { jobs, locks: true });
    return [
      {
        row: 'dump',
        title: this.title,
        unit: 'jobs/s in the last tenth',
        better: 'more',
        ...curves({ pgmill }),
        goals: flat(0.7, pgmill, 'with the reader').slice(0, 1),
        note: `${jobs.toLocaleString('en')} jobs, one run; the reader also holds a snapshot, as pg_dump does, so nothing can be truncated or vacuumed`,
      },
    ];
  },
};
