// What the tests of the README and of docs/ share: a page's code blocks, and ways to run them.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import ts from 'typescript';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Block {
  language: string;
  code: string;
  /** Where TypeScript was written to, to be compiled and run; empty for other languages. */
  file: string;
}

/** The code blocks of a page, in their order; the TypeScript as files that are removed with the test. */
export function codeBlocks(t: Test, page: string): Block[] {
  // Inside the project, so that its packages are found from there, where git does not look.
  mkdirSync(path.join(root, '.tap'), { recursive: true });
  const folder = mkdtempSync(path.join(root, '.tap', 'page-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const found = [...readFileSync(path.join(root, page), 'utf8').matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return found.map(([, language = '', code = ''], index) => {
    if (language !== 'ts') return { language, code, file: '' };
    const file = path.join(folder, `block-${index}.ts`);
    writeFileSync(file, code.replaceAll("'pgmill'", "'../../client/index.js'"));
    return { language, code, file };
  });
}

/** What the compiler says against the files, as a user of the package would have it. */
export function compile(files: string[]): string[] {
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    types: ['node'],
  });
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

export interface Running {
  process: ChildProcess;
  output: () => string;
}

/** Runs TypeScript with the database in its environment. */
export function run(file: string, url: string): Running {
  return start(process.execPath, ['--import', 'tsx', file], url);
}

/** Runs a block of `sh` whose commands are pgmill's. */
export function runShell(code: string, url: string): Running {
  const pgmill = `"${process.execPath}" --import tsx client/cli.ts`;
  return start('sh', ['-ec', code.replaceAll('npx pgmill', pgmill)], url);
}

function start(command: string, args: string[], url: string): Running {
  let text = '';
  const child = spawn(command, args, { cwd: root, env: { ...process.env, DATABASE_URL: url } });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
  }
  return { process: child, output: () => text };
}
