// Starts a script of this directory as a process of its own, to be killed or suspended.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export class Child {
  readonly process: ChildProcess;
  /** What it printed so far, line by line. */
  readonly lines: string[] = [];
  readonly exited: Promise<unknown>;
  #waiting: (() => void)[] = [];

  constructor(t: Teardown, script: string, url: string, env: Record<string, string> = {}) {
    const file = fileURLToPath(new URL(script, import.meta.url));
    this.process = spawn(process.execPath, ['--import', 'tsx', file], {
      env: { ...process.env, ...env, DATABASE_URL: url },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.exited = once(this.process, 'exit');
    this.process.stdin?.on('error', () => {}); // it is dead
    if (this.process.stdout) {
      createInterface({ input: this.process.stdout }).on('line', (line) => {
        this.lines.push(line);
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
    t.teardown(async () => {
      this.process.kill('SIGKILL');
      await this.exited;
    });
  }

  /** The next line it prints. */
  async line(): Promise<string> {
    while (this.lines.length === 0) {
      await Promise.race([
        new Promise<void>((resolve) => this.#waiting.push(resolve)),
        this.exited.then(() => {
          if (this.lines.length === 0) throw new Error('The process ended without a word.');
        }),
      ]);
    }
    return this.lines.shift() as string;
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }
}
