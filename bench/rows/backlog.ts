import type { Agent, Bench } from '../bench.js';
import { type SystemName, systemNames } from '../systems/system.js';
import { atLeast, median, type Row, rate, series, titles } from './row.js';

export const backlog: Row = {
  name: 'backlog',
  title: 'drain rate beside a large backlog, against a small one',

  async run(bench) {
    const large = bench.sizes.quick ? 100_000 : 1_000_000;
    const turns = bench.sizes.quick ? 3 : 6;
    const rates = {} as Record<SystemName, { small: number[]; large: number[] }>;
    // Each turn is short, and its rate an uncertain one: more of them for what has a target.
    for (const name of systemNames) {
      rates[name] = await measure(bench, name, { large, turns: name === 'pgmill' ? 2 * turns : turns });
    }
    const shown = systemNames.map((name) =>
      series(`${titles[name]}, ${large.toLocaleString('en')} ready`, rates[name].large),
    );
    const before = systemNames.map((name) =>
      series(`${titles[name]}, ${small.toLocaleString('en')} ready`, rates[name].small),
    );
    return [
      {
        row: 'backlog',
        title: this.title,
        unit: 'jobs/s',
        better: 'more',
        series: systemNames.flatMap((_, index) => [before[index], shown[index]]).filter((each) => each !== undefined),
        goals: [atLeast(0.9, 'of its own rate with 10,000', median(rates.pgmill.large) / median(rates.pgmill.small))],
        note: `${turns} × ${small.toLocaleString('en')} jobs of the backlog (pgmill ${2 * turns} ×), in turns with as many that are all there is; first to last handler, tuned`,
      },
    ];
  },
};

interface Amounts {
  large: number;
  turns: number;
}

/** As many are done each time, of the backlog as well: the measurement begins and ends alike. */
const small = 10_000;

/** Two databases: one with the backlog, of which a part is done each time, and one that holds what is done at once. */
async function measure(
  bench: Bench,
  name: SystemName,
  { large, turns }: Amounts,
): Promise<{ small: number[]; large: number[] }> {
  return bench.with(name, (full) =>
    bench.with(name, async (nearlyEmpty) => {
      const [fullWorker, fullProducer] = [await full.agent(), await full.producer()];
      const [worker, producer] = [await nearlyEmpty.agent(), await nearlyEmpty.producer()];
      await full.warmUp(fullProducer, fullWorker, 'tuned', 5000);
      await nearlyEmpty.warmUp(producer, worker, 'tuned', 5000);
      await fullProducer.call('addMany', large, 1000);

      let left = large;
      const done = await bench.inTurns(
        ['small', 'large'],
        async (which) => {
          if (which === 'small') {
            await producer.call('addMany', small, 1000);
            return drainSome(worker, small);
          }
          const result = await drainSome(fullWorker, small);
          left -= result.stopped;
          return result;
        },
        turns,
      );
      await nearlyEmpty.check(small * turns);
      await full.check(large - left, { left });
      return { small: done.small.map((each) => each.rate), large: done.large.map((each) => each.rate) };
    }),
  );
}

/** The rate of so many jobs, and how many were done by the time the worker had stopped. */
async function drainSome(worker: Agent, jobs: number): Promise<{ rate: number; stopped: number }> {
  await worker.call('work', 'tuned', { jobs });
  const { took } = await worker.call('worked', 120_000);
  await worker.call('stop');
  return { rate: rate(jobs, took), stopped: await worker.call('count') };
}
