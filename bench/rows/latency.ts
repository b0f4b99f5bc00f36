import { systemNames } from '../systems/system.js';
import { atMost, quantile, type Row, series, titles } from './row.js';

export const latency: Row = {
  name: 'latency',
  title: 'from add_job to the start of the handler, 50 jobs/s, idle worker',

  async run(bench) {
    const seconds = bench.sizes.quick ? 3 : 6;
    const runs = await bench.inTurns(systemNames, (name) =>
      bench.with(name, async (run) => {
        const worker = await run.agent();
        const producer = await run.producer(1, name === 'floor');
        const warm = 25;
        const jobs = warm + seconds * 50;
        await worker.call('work', 'latency', { jobs, latencies: true, settle: true });
        await producer.call('addSteadily', warm, 50);
        await producer.call('addSteadily', jobs - warm, 50);
        const { latencies } = await worker.call('worked', 20_000);
        await worker.call('stop');
        await run.check(jobs);
        return latencies.slice(warm);
      }),
    );
    const [p50, p99] = [0.5, 0.99].map((share) =>
      systemNames.map((name) =>
        series(
          titles[name],
          runs[name].map((each) => quantile(each, share)),
        ),
      ),
    ) as [ReturnType<typeof series>[], ReturnType<typeof series>[]];
    const ratio = (all: typeof p50) => (all[1]?.median ?? Number.NaN) / (all[2]?.median ?? Number.NaN);
    const common = { unit: 'ms', better: 'less' as const, note: `${seconds} s each; the floor with NOTIFY` };
    return [
      {
        ...common,
        row: 'latency-p50',
        title: `${this.title}: half of the jobs within`,
        series: p50,
        goals: [atMost(0.8, '× graphile-worker', ratio(p50))],
      },
      {
        ...common,
        row: 'latency-p99',
        title: `${this.title}: 99 % of the jobs within`,
        series: p99,
        goals: [atMost(1, '× graphile-worker', ratio(p99))],
      },
    ];
  },
};
