import { availableParallelism } from 'node:os';
import { PgMill } from '../../client/index.js';
import { checkFiles } from './check.js';
import { type Database, makeTables, openDatabase } from './database.js';
import { count, number } from './format.js';
import type { Jobs } from './jobs.js';
import { help, readFolder, UsageError } from './options.js';
import { encodePath } from './paths.js';
import { bestLines, failedLines, foundLines, insightLines, totalLines } from './report.js';
import { runJobs } from './run.js';
import { stopSignal } from './stop.js';

const startedAt = performance.now();
/** More than there are processors: jobs also wait for the disk and for the database. */
const concurrency = Math.min(4 * availableParallelism(), 16);

/** Returns the exit code. */
async function main(args: string[]): Promise<number> {
  const folder = readFolder(args);
  if (folder === undefined) {
    console.log(help);
    return 0;
  }
  console.log(`pgmill demo: every file of ${encodePath(Buffer.from(folder))}`);
  const stop = stopSignal();
  const database = await openDatabase(concurrency + 4);
  try {
    return await work(Buffer.from(folder), database, stop);
  } finally {
    await database.close();
  }
}

async function work(folder: Buffer, database: Database, stop: AbortSignal): Promise<number> {
  const { pool } = database;
  const mill = new PgMill<Jobs>({ pool });
  const { version } = await mill.migrate();
  await makeTables(pool);
  await cancelLeftovers(mill);
  // A queue of its own for each run, so that the insights are about this run alone.
  const queue = `pgmill_demo_${Date.now()}`;
  console.log(`${database.description}; pgmill ${version}`);
  console.log(`Queue ${queue}, ${concurrency} jobs at a time`);

  const { found, seconds } = await runJobs({ mill, pool, queue, folder, except: database.folder, concurrency, stop });
  const insights = (await mill.insights()).filter((insight) => insight.queue === queue);
  if (stop.aborted) {
    const { completed = 0, failed = 0 } = insights.find(({ name }) => name === 'demo.file') ?? {};
    console.log(`Stopped: of the ${count(found.files, 'file')} found so far, ${number(completed)} are done.`);
    const where = database.folder ? 'They go with the server.' : `They stay in queue ${queue}.`;
    console.log(`Jobs not done: ${number(found.files - completed - failed)}. ${where}`);
    return 130;
  }

  const check = await checkFiles(pool, { insights, found, failures: await failedLines(mill, queue) });
  const total = await totalLines(pool, seconds, (performance.now() - startedAt) / 1000);
  for (const lines of [foundLines(found), insightLines(insights), await bestLines(pool), check.lines, total]) {
    if (lines.length > 0) console.log(`\n${lines.join('\n')}`);
  }
  return check.holds ? 0 : 1;
}

/** Jobs of a demo that was stopped: their files' rows are gone. */
async function cancelLeftovers(mill: PgMill<Jobs>): Promise<void> {
  for (const { queue } of await mill.insights()) {
    if (queue.startsWith('pgmill_demo_')) await mill.cancelJobs({ queue });
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    const usage = error instanceof UsageError;
    console.error(usage ? `pgmill demo: ${error.message}` : (error.stack ?? error));
    process.exitCode = usage ? 2 : 1;
  },
);
