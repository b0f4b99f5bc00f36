import { type Pushed, push } from './pressure.js';
import { atLeast, atMost, type Goal, median, type Result, type Row, series, titles } from './row.js';

export const snapshot: Row = {
  name: 'snapshot',
  title: 'jobs pushed through while one snapshot is held open',

  async run(bench) {
    const many = bench.sizes.quick ? 200_000 : 3_000_000;
    const some = bench.sizes.quick ? 50_000 : 300_000;
    const mixed = bench.sizes.quick ? 100_000 : 1_000_000;
    const shares = { delayed: 0.2, failing: 0.1 };
    const runs: Pushed[] = [];
    const plain = bench.sizes.quick ? 1 : 3;
    for (let n = 0; n < plain; n++) runs.push(await push(bench, 'pgmill', { jobs: many, locks: false }));
    const pgmill = medians(runs);
    const mix = await push(bench, 'pgmill', { jobs: mixed, locks: false, shares });
    const others = {
      floor: await push(bench, 'floor', { jobs: some, locks: false }),
      graphile: await push(bench, 'graphile', { jobs: some, locks: false }),
      pgboss: await push(bench, 'pgboss', { jobs: some, locks: false }),
    };
    const names = ['floor', 'graphile', 'pgboss'] as const;
    const size = (jobs: number) => jobs.toLocaleString('en');
    return [
      {
        row: 'snapshot',
        title: this.title,
        unit: 'jobs/s in the last tenth',
        better: 'more',
        ...curves({
          [`pgmill, ${size(many)} jobs`]: pgmill,
          [`pgmill, ${size(mixed)}, 20 % delayed, 10 % retried`]: mix,
          ...Object.fromEntries(names.map((name) => [`${titles[name]}, ${size(some)}`, others[name]])),
        }),
        goals: [...flat(0.85, pgmill, 'plain'), ...flat(0.85, mix, 'with delays and retries')],
        note: `tuned, one run each${plain > 1 ? ` (of the first ${plain}, medians)` : ''}; at most 20,000 jobs ahead of the worker (60,000 with delays); each curve is ten tenths`,
      },
    ];
  },
};

/** Each tenth of several runs, so that a moment in which the machine was slow does not count. */
function medians(runs: Pushed[]): Pushed {
  const each = (key: keyof Pushed) =>
    (runs[0]?.[key] ?? []).map((_, n) => median(runs.map((run) => run[key][n] ?? Number.NaN)));
  return { tenths: each('tenths'), claims: each('claims') };
}

/** Whether the last tenth is as fast as the first, and its claims too. At the beginning there is a queue to fill. */
export function flat(needed: number, { tenths, claims }: Pushed, what: string): Goal[] {
  const [first, last = Number.NaN] = [Math.max(...tenths.slice(0, 2)), tenths.at(-1)];
  const [fresh = Number.NaN, late = Number.NaN] = [claims[0], claims.at(-1)];
  return [
    atLeast(needed, `of the first tenth (or the second, if faster) in the last, ${what}`, last / first),
    atMost(3, `× the first tenth's p99 of a claim in the last, ${what}`, late / fresh),
  ];
}

export function curves(all: Record<string, Pushed>): Pick<Result, 'series' | 'curves'> {
  const named = Object.entries(all);
  return {
    series: named.map(([name, { tenths }]) => series(name, tenths.slice(-1))),
    curves: named.map(([name, { tenths }]) => ({ name, points: tenths.map(Math.round) })),
  };
}
