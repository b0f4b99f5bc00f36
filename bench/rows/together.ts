import { setTimeout as sleep } from 'node:timers/promises';
import { type SystemName, systemNames } from '../systems/system.js';
import { atLeast, type Row, rate, series, titles } from './row.js';

export const together: Row = {
  name: 'together',
  title: 'producer and worker at the same time',

  async run(bench) {
    const seconds = bench.sizes.quick ? 8 : 10;
    const runs = await bench.inTurns<SystemName, number>(
      systemNames,
      (name) =>
        bench.with(name, async (run) => {
          const worker = await run.agent();
          const producer = await run.producer();
          await run.warmUp(producer, worker, 'tuned', 5000);
          await worker.call('work', 'tuned', { jobs: Number.MAX_SAFE_INTEGER });
          const adding = producer.call('addPaced', 10_000_000, 1000, 20_000);
          await sleep(500);
          const [before, start] = [await worker.call('count'), performance.now()];
          await sleep(seconds * 1000);
          const [after, end] = [await worker.call('count'), performance.now()];
          await producer.call('stopAdding');
          const { jobs } = await adding;
          for (let turns = 0; turns < 1000 && (await worker.call('count')) < jobs; turns++) await sleep(20);
          await worker.call('stop');
          await run.check(jobs);
          return rate(after - before, end - start);
        }),
      bench.sizes.quick ? 1 : bench.sizes.repeats,
    );
    const rates = systemNames.map((name) => series(titles[name], runs[name]));
    const [, pgmill, graphile] = rates.map(({ median }) => median) as [number, number, number];
    return [
      {
        row: 'together',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: rates,
        goals: [atLeast(2, '× graphile tuned', pgmill / graphile)],
        note: `${runs.floor.length} × ${seconds} s each, tuned; at most 20,000 jobs ahead of the worker; pgmill and pg-boss keep history`,
      },
    ];
  },
};
