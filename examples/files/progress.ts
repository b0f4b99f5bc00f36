import { duration, number } from './format.js';

interface Output {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** Shows how far it is: a bar on a terminal, now and then a line elsewhere. */
export class Progress {
  /** The walk is over: all files are found. */
  complete = false;
  done = 0;
  failed = 0;
  /** Attempts that failed, of jobs that come back. */
  retries = 0;
  readonly #found: { files: number };
  readonly #output: Output;
  readonly #terminal: boolean;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #drawn = false;

  constructor(found: { files: number }, output: Output = process.stdout) {
    this.#found = found;
    this.#output = output;
    this.#terminal = output.isTTY === true && process.env['TERM'] !== 'dumb';
  }

  /** Files whose job has not ended. */
  get left(): number {
    return this.#found.files - this.done - this.failed;
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#timer = setInterval(() => this.show(), this.#terminal ? 100 : 2000);
  }

  stop(): void {
    clearInterval(this.#timer);
    if (this.#startedAt > 0) this.show();
    if (this.#drawn) this.#output.write('\n');
    this.#drawn = false;
  }

  /** Writes a line above the bar. */
  log(line: string): void {
    this.#output.write(this.#drawn ? `\r\x1b[K${line}\n` : `${line}\n`);
    if (this.#drawn) this.show();
  }

  show(): void {
    const { columns = 80 } = this.#output;
    const { files } = this.#found;
    const share = files === 0 ? Number(this.complete) : 1 - this.left / files;
    const text = this.#text(share);
    if (!this.#terminal) {
      this.#output.write(`${text}\n`);
      return;
    }
    const width = Math.min(30, columns - text.length - 4);
    const filled = Math.round(width * share);
    const bar = width < 5 ? '' : `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `;
    this.#output.write(`\r${`${bar}${text}`.slice(0, columns - 1)}\x1b[K`);
    this.#drawn = true;
  }

  #text(share: number): string {
    const { complete, done, failed, retries, seconds } = this;
    return [
      `${String(Math.floor(share * 100)).padStart(3)} %`,
      `${number(done)} of ${number(this.#found.files)}${complete ? '' : '+'} files`,
      `${number(Math.round(done / Math.max(seconds, 0.1)))}/s`,
      ...(retries > 0 ? [`${number(retries)} retried`] : []),
      ...(failed > 0 ? [`${number(failed)} failed`] : []),
      duration(seconds * 1000),
    ].join('  ');
  }
}
