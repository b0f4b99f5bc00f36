// The things `npm test` runs, each in a process of its own: test files and commands.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type Ending, type Report, Reporter } from './reporter.js';

export interface Task {
  name: string;
  run(): Promise<Report>;
}

/** For a whole test file. tap's own limit (TAP_TIMEOUT) comes first and says which test it was. */
export const limits = { test: 240_000, file: 300_000 };

const processGroups = new Set<number>();
process.on('exit', () => {
  for (const pid of processGroups) kill(pid);
});

/** A file of tests, in TypeScript. */
export function testFile(file: string, env: NodeJS.ProcessEnv = {}, { test, file: limit } = limits): Task {
  return {
    name: file,
    async run() {
      const reporter = new Reporter(file);
      let errors = '';
      const ending = await run(['--import', 'tsx', file], { ...env, TAP_TIMEOUT: String(test / 1000) }, limit, {
        out: (text) => reporter.write(text),
        err: (text) => {
          errors += text;
        },
      });
      const report = reporter.end(ending);
      return { ...report, text: report.text + errors };
    },
  };
}

/** A command that prints its own failures; it passes or fails as a whole. `args` go to node. */
export function command(name: string, args: string[]): Task {
  return {
    name,
    async run() {
      let text = '';
      const print = (more: string) => {
        text += more;
      };
      const { code } = await run(args, {}, limits.file, { out: print, err: print });
      if (code === 0) return { passed: 1, failed: 0, skipped: 0, text: '' };
      return { passed: 0, failed: 1, skipped: 0, text: `FAILED: ${name}\n${text}` };
    },
  };
}

interface Output {
  out: (text: string) => void;
  err: (text: string) => void;
}

/** Runs node in a process group of its own, and ends the whole group after it. */
async function run(args: string[], env: NodeJS.ProcessEnv, limit: number, { out, err }: Output): Promise<Ending> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw (await once(child, 'error'))[0];
  processGroups.add(pid);
  listen(child.stdout, out);
  listen(child.stderr, err);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    kill(pid);
  }, limit);
  child.once('exit', () => kill(pid)); // whatever it left running would keep its output open
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  processGroups.delete(pid);
  return { code, signal, timedOut };
}

function listen(stream: Readable, to: (text: string) => void): void {
  stream.setEncoding('utf8');
  stream.on('data', to);
}

function kill(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // the group is gone
  }
}
