// Reads what one test file prints (TAP) and counts its tests: every t.test is one, but one that only holds other
// t.tests; assertions outside any t.test make the file itself one.
import { Parser, type Result } from 'tap-parser';

export interface Report {
  passed: number;
  failed: number;
  skipped: number;
  /** What to show: each failure with the test's full name, and what the file printed. */
  text: string;
}

/** How the process ended. */
export interface Ending {
  code: number | null;
  signal: string | null;
  timedOut: boolean;
}

interface Counts {
  asserts: number;
  failures: number;
  children: number;
  skips: number;
}

export class Reporter {
  readonly #file: string;
  readonly #parser = new Parser();
  readonly #report: Report = { passed: 0, failed: 0, skipped: 0, text: '' };
  #printed = '';

  constructor(file: string) {
    this.#file = file;
    const counts = this.#follow(this.#parser);
    this.#parser.on('complete', () => this.#count(file, counts));
    this.#parser.on('bailout', (reason: string) => this.#fail(`${file}: bailed out`, reason));
  }

  write(chunk: string | Buffer): void {
    this.#parser.write(chunk);
  }

  /** The report, once the process has ended. A file that crashed, timed out or tested nothing has failed. */
  end({ code, signal, timedOut }: Ending): Report {
    this.#parser.end();
    const report = this.#report;
    const failed = report.failed > 0;
    if (timedOut) this.#fail(`${this.#file}: took too long and was killed`);
    else if (!failed && signal !== null) this.#fail(`${this.#file}: was ended by ${signal}`);
    else if (!failed && code !== 0) this.#fail(`${this.#file}: ended with exit code ${code}`);
    else if (report.passed + report.failed + report.skipped === 0) this.#fail(`${this.#file}: holds no test`);
    if (report.failed > 0 && this.#printed) report.text += `\n  printed by ${this.#file}:\n${indent(this.#printed, 4)}`;
    return report;
  }

  #follow(parser: Parser): Counts {
    const counts: Counts = { asserts: 0, failures: 0, children: 0, skips: 0 };
    let child: Counts | undefined;
    parser.on('child', (inner: Parser) => {
      counts.children++;
      child = this.#follow(inner);
    });
    parser.on('assert', (result: Result) => {
      if (result.closingTestPoint && child) {
        this.#count(this.#name(result), child, result);
        child = undefined;
      } else if (result.skip || result.todo) {
        counts.skips++;
        this.#report.skipped++;
        this.#report.text += `skipped: ${this.#name(result)} (${result.skip || result.todo})\n`;
      } else {
        counts.asserts++;
        if (!result.ok) {
          counts.failures++;
          this.#explain(result);
        }
      }
    });
    parser.on('extra', (text: string) => {
      if (!/^\d+\.\.\d+$/m.test(text)) this.#printed += text;
    });
    parser.on('complete', () => {
      if (!child) return;
      // no closing line came
      if (child.failures > 0) this.#report.failed++;
      else if (child.asserts > 0) this.#fail(`${this.#file}: ended in the middle of a test`);
    });
    return counts;
  }

  #count(name: string, { asserts, failures, children, skips }: Counts, closing?: Result): void {
    if (failures > 0) this.#report.failed++;
    else if (asserts > 0) this.#report.passed++;
    else if (closing && children === 0 && skips === 0) this.#fail(`${name}: asserts nothing`);
    if (closing && !closing.ok && failures === 0 && children === 0) this.#fail(name, details(closing));
  }

  #fail(name: string, text = ''): void {
    this.#report.failed++;
    this.#report.text += `FAILED: ${name}\n${indent(text, 4)}`;
  }

  #explain(result: Result): void {
    this.#report.text += `FAILED: ${this.#name(result)}\n${indent(details(result), 4)}`;
  }

  #name(result: Result): string {
    return `${this.#file} > ${result.fullname}`;
  }
}

function details({ diag }: Result): string {
  if (!diag) return '';
  const { diff, found, wanted, message, stack, source, at: _at, ...rest } = diag;
  const parts = [
    message,
    diff ?? (found !== undefined && `found: ${show(found)}\nwanted: ${show(wanted)}`),
    source,
    stack,
  ];
  const other = Object.entries(rest).map(([key, value]) => `${key}: ${show(value)}`);
  return [...parts, ...other].filter(Boolean).join('\n');
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : String(JSON.stringify(value));
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}

function indent(text: string, by: number): string {
  const trimmed = text.trimEnd();
  return trimmed && `${trimmed.replace(/^/gm, ' '.repeat(by))}\n`;
}
