import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PgMill, Worker } from '../../client/index.js';
import { duration } from './format.js';
import { handlers } from './handlers.js';
import type { Jobs } from './jobs.js';
import { Progress } from './progress.js';
import { Found, walk } from './walk.js';

export interface RunOptions {
  mill: PgMill<Jobs>;
  pool: pg.Pool;
  queue: string;
  folder: Buffer;
  /** A folder to leave out. */
  except: string | undefined;
  concurrency: number;
  /** Ends it early. */
  stop: AbortSignal;
}

/** Adds the jobs and works on them at the same time, until all have ended. */
export async function runJobs({ mill, pool, queue, folder, except, concurrency, stop }: RunOptions) {
  const found = new Found();
  const progress = new Progress(found);
  const log = (...parts: unknown[]) => progress.log(parts.join(' '));
  const worker = mill.worker({
    queues: [queue],
    concurrency,
    timeout: 30 * 60_000, // a file may be very large
    stopTimeout: 5000,
    logger: { error: log, warn: log },
    handlers: handlers(folder),
  });
  watch(worker, progress);
  stop.addEventListener('abort', () => progress.log('Stopping: running jobs finish. Ctrl-C again ends at once.'));

  // The most urgent job, and the only one so far: when the worker has started, it runs.
  const endless = await mill.addJob('demo.endless', undefined, { queue, priority: 0 });
  progress.start();
  try {
    await worker.start();
    await walk(found, { mill, pool, queue, folder, except, signal: stop });
    progress.complete = !stop.aborted;
    await cancelRunning(mill, worker, endless, progress);
    await allEnded(mill, queue, progress, stop);
  } finally {
    await worker.stop();
    progress.stop();
  }
  return { found, seconds: progress.seconds };
}

/** The worker's events keep the progress up to date. */
function watch(worker: Worker<Jobs>, progress: Progress): void {
  worker.on('job:complete', ({ name }) => {
    if (name === 'demo.file') progress.done += 1;
  });
  worker.on('job:fail', (_job, { state }) => {
    if (state === 'failed') progress.failed += 1;
    else progress.retries += 1;
  });
}

/** The running job learns of it through its signal. */
async function cancelRunning(mill: PgMill<Jobs>, worker: Worker<Jobs>, id: string, progress: Progress): Promise<void> {
  const stopped = new Promise((resolve) => worker.once('job:cancel', resolve));
  const ran = progress.seconds * 1000;
  const askedAt = performance.now();
  await mill.cancelJob(id);
  const inTime = await Promise.race([stopped.then(() => true), sleep(30_000, false, { ref: false })]);
  if (!inTime) throw new Error('demo.endless did not stop within 30 s of being cancelled.');
  const took = duration(performance.now() - askedAt);
  progress.log(`demo.endless, which ran for ${duration(ran)}, was cancelled and stopped within ${took}.`);
}

/** Resolves when the queue holds no live job. The events say when to look, the database says whether it is so. */
async function allEnded(mill: PgMill<Jobs>, queue: string, progress: Progress, stop: AbortSignal): Promise<void> {
  for (let looks = 1; !stop.aborted; looks++) {
    if (progress.left <= 0 || looks % 40 === 0) {
      const ours = (await mill.insights()).filter((each) => each.queue === queue);
      const files = ours.find(({ name }) => name === 'demo.file');
      progress.done = files?.completed ?? 0;
      progress.failed = files?.failed ?? 0;
      if (ours.every(({ ready, scheduled, retrying, running }) => ready + scheduled + retrying + running === 0)) return;
    }
    await sleep(50);
  }
}
