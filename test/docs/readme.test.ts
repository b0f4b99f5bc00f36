// Every code block of the README is run as it stands there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import { testDatabase } from '../postgres/database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const blocks = [...readFileSync(path.join(root, 'README.md'), 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
  ([, language, code]) => ({ language, code: code ?? '' }),
);
const of = (language: string) => blocks.filter((block) => block.language === language).map(({ code }) => code);
const [worker = '', transactions = ''] = of('ts');

// Inside the project, so that its packages are found from there.
const folder = mkdtempSync(path.join(root, 'test', 'docs', '.readme-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const files = of('ts').map((code, index) => {
  const file = path.join(folder, `block-${index}.ts`);
  writeFileSync(file, code.replaceAll("'pgmill'", "'../../../client/index.js'"));
  return file;
});

t.test('has the languages that the tests below run, and no others', async (t) => {
  t.strictSame([...new Set(blocks.map(({ language }) => language))].sort(), ['sh', 'sql', 'ts']);
  t.equal(of('ts').length, 2);
});

t.test('the TypeScript compiles', async (t) => {
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    types: ['node'],
  });
  const problems = ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  t.strictSame(problems, []);
});

t.test('a wrong payload and a missing handler do not compile, as the README says', async (t) => {
  const wrong = path.join(folder, 'wrong.ts');
  const code = readFileSync(files[0] ?? '', 'utf8');
  writeFileSync(
    wrong,
    code.replace("subject: 'Welcome'", 'subject: 1').replace(/'mail.send': async/, "'mail.sent': async"),
  );
  const program = ts.createProgram([wrong], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    types: ['node'],
  });
  t.equal(program.getSemanticDiagnostics(program.getSourceFile(wrong)).length >= 2, true);
});

t.test('the worker runs the job', async (t) => {
  const db = await testDatabase(t);
  t.match(worker, 'worker.start()');
  const child = run(files[0] ?? '', db.url);
  for (let left = 600; left > 0; left--) {
    const [job] = await db.sql('select state from pgmill.job');
    if (job?.state === 'completed' || child.process.exitCode !== null) break;
    await sleep(50);
  }
  const exited = once(child.process, 'exit');
  child.process.kill('SIGKILL');
  await exited;
  t.match(child.output(), 'attempt 1: "Welcome" to ada@example.com');
  t.strictSame(await db.sql('select state, attempts from pgmill.job'), [{ state: 'completed', attempts: 1 }]);
});

t.test('the transactions commit with their jobs, and the program ends by itself', async (t) => {
  const db = await testDatabase(t);
  t.match(transactions, 'transactional: true');
  const child = run(files[1] ?? '', db.url);
  const [code] = await once(child.process, 'exit');
  t.equal(code, 0, child.output());
  t.equal(child.output().trim(), '1');
  t.strictSame(await db.sql('select state, result from pgmill.job'), [
    { state: 'completed', result: { printed: true } },
  ]);
});

t.test('the SQL runs, block after block', async (t) => {
  const db = await testDatabase(t);
  const client = await db.client();
  for (const code of of('sql')) await t.resolves(client.query(code), code);
  t.strictSame(await db.sql('select name, unique_key, max_attempts from pgmill.job order by id'), [
    { name: 'mail.send', unique_key: null, max_attempts: 3 },
    { name: 'mail.send', unique_key: null, max_attempts: 3 },
    { name: 'report.build', unique_key: 'report-2026-11', max_attempts: 5 },
  ]);
});

t.test('the commands are ones that the package has', async (t) => {
  const { scripts, bin } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const commands = of('sh').join('');
  for (const [, name = ''] of commands.matchAll(/npm (?:run )?(start|test|[\w:]+:[\w]+)/g))
    t.ok(scripts[name], `npm ${name}`);
  t.match(commands, 'npx pgmill migrate');
  t.ok(bin.pgmill);
});

function run(file: string, url: string) {
  let text = '';
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: root,
    env: { ...process.env, DATABASE_URL: url },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
  }
  return { process: child, output: () => text };
}
