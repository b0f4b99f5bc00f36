// npm run bench: measures pgmill beside other job systems, on a PostgreSQL from npm that it starts itself.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Bench } from './bench.js';
import { drawCharts } from './chart.js';
import { describeMachine, type Machine, settings } from './machine.js';
import { report } from './report.js';
import { rows } from './rows/index.js';
import type { Result } from './rows/row.js';

const usage = `Measures pgmill beside graphile-worker, pg-boss and the barest SQL that does the same.

  npm run bench                      everything: under 20 minutes on two quiet cores
  npm run bench -- quick             smaller and fewer: under 4 minutes, and less certain
  npm run bench -- [quick] ROW…      only these rows
  npm run bench -- --draw            draws the charts once more from bench/results/full.json

  --check   the exit code is 1 when a figure was not reached, not only when jobs were lost
  --save    writes bench/results/ although only some rows were measured
  --help

Rows: ${rows.map(({ name }) => name).join(', ')}`;

/** What bench/results/*.json holds. */
export interface Results {
  mode: 'full' | 'quick';
  date: string;
  machine: Machine;
  settings: object;
  versions: Record<string, string>;
  results: Result[];
}

const here = fileURLToPath(new URL('.', import.meta.url));

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean' },
      check: { type: 'boolean' },
      save: { type: 'boolean' },
      draw: { type: 'boolean' },
    },
  });
  if (values.help) return console.log(usage);
  if (values.draw) return drawCharts(path.join(here, 'results'), readResults('full'));
  const quick = positionals.includes('quick');
  const wanted = positionals.filter((each) => each !== 'quick');
  const unknown = wanted.find((name) => !rows.some((row) => row.name === name));
  if (unknown !== undefined) throw new Error(`There is no row "${unknown}".\n\n${usage}`);
  const chosen = wanted.length === 0 ? rows : rows.filter(({ name }) => wanted.includes(name));

  prepare();
  const started = performance.now();
  const bench = await Bench.start({ quick, repeats: quick ? 2 : 3 });
  const failed: string[] = [];
  const results: Result[] = [];
  let machine: Machine;
  try {
    machine = await describeMachine(bench.admin, bench.dataDirectory);
    const load =
      machine.load > 0.5
        ? `. Other programs are busy here (load ${machine.load}): the figures will be worth little`
        : '';
    console.log(
      `${machine.cpu}, ${machine.cores} cores, ${machine.memory}; Node.js ${machine.node}, PostgreSQL ${machine.postgres}${load}\n`,
    );
    for (const row of chosen) {
      const start = performance.now();
      try {
        const measured = await row.run(bench);
        results.push(...measured);
        for (const result of measured) console.log(report(result));
      } catch (error) {
        failed.push(row.name);
        console.log(`${row.title}\n  FAILED: ${error instanceof Error ? error.message : error}\n`);
      }
      if (process.env['BENCH_TIMES']) console.log(`  (${seconds(start)} s)\n`);
    }
  } finally {
    await bench.stop();
  }

  const mode = quick ? 'quick' : 'full';
  const all: Results = { mode, date: new Date().toISOString(), machine, settings, versions: versions(), results };
  if ((wanted.length === 0 || values.save) && failed.length === 0) {
    mkdirSync(path.join(here, 'results'), { recursive: true });
    writeFileSync(path.join(here, 'results', `${mode}.json`), `${JSON.stringify(all, null, 2)}\n`);
    if (!quick) drawCharts(path.join(here, 'results'), all);
    console.log(`Written: bench/results/${mode}.json${quick ? '' : ' and the charts beside it'}`);
  }
  const goals = results.flatMap((result) => result.goals);
  const missed = goals.filter(({ reached }) => reached === false).length;
  console.log(`${seconds(started)} s; ${goals.length - missed} of ${goals.length} figures reached`);
  if (failed.length > 0) console.log(`Rows that failed: ${failed.join(', ')}`);
  process.exitCode = failed.length > 0 || (values.check && missed > 0) ? 1 : 0;
}

/** Installs what we measure against, when it is not there, and compiles what the processes run. */
function prepare(): void {
  const installed = path.join(here, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) {
    console.log('Installing graphile-worker and pg-boss into bench/node_modules (npm ci, once) …');
    // They ask for a newer Node.js than pgmill does, and run on this one all the same.
    command('npm', ['ci', '--prefix', here, '--engine-strict=false', '--loglevel=error']);
  }
  command(process.execPath, [path.join(here, '../node_modules/typescript/bin/tsc'), '-p', here]);
}

function command(program: string, args: string[]): void {
  const { status, error } = spawnSync(program, args, {
    cwd: here,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status ?? error?.message}`);
}

function versions(): Record<string, string> {
  const read = (file: string): string => JSON.parse(readFileSync(path.join(here, file), 'utf8')).version;
  return {
    pgmill: read('../package.json'),
    'graphile-worker': read('node_modules/graphile-worker/package.json'),
    'pg-boss': read('node_modules/pg-boss/package.json'),
    pg: read('node_modules/pg/package.json'),
  };
}

function readResults(mode: string): Results {
  return JSON.parse(readFileSync(path.join(here, 'results', `${mode}.json`), 'utf8'));
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code)); // the server and the processes go with us
}

await main().catch((error) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
