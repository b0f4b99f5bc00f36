// Every code block of the README is run as it stands there.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { codeBlocks, compile, root, run } from './page.js';

const blocks = codeBlocks(t, 'README.md');
const of = (language: string) => blocks.filter((block) => block.language === language).map(({ code }) => code);
const files = blocks.flatMap(({ file }) => (file === '' ? [] : [file]));
const [worker = '', transactions = ''] = of('ts');

t.test('has the languages that the tests below run, and no others', async (t) => {
  t.strictSame([...new Set(blocks.map(({ language }) => language))].sort(), ['sh', 'sql', 'ts']);
  t.equal(of('ts').length, 2);
});

t.test('the TypeScript compiles', async (t) => {
  t.strictSame(compile(files), []);
});

t.test('a wrong payload and a missing handler do not compile, as the README says', async (t) => {
  const code = readFileSync(files[0] ?? '', 'utf8');
  const changed = (from: string, to: string) => {
    const file = path.join(path.dirname(files[0] ?? ''), 'wrong.ts');
    t.match(code, from);
    writeFileSync(file, code.replace(from, to));
    return compile([file]);
  };
  t.match(changed("subject: 'Welcome'", 'subject: 1'), [/not assignable/]);
  t.match(changed("'mail.send': async", "'mail.sent': async"), [/mail\.send/]);
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
  const exited = once(child.process, 'close');
  child.process.kill('SIGKILL');
  await exited;
  t.match(child.output(), 'attempt 1: "Welcome" to ada@example.com');
  t.strictSame(await db.sql('select state, attempts from pgmill.job'), [{ state: 'completed', attempts: 1 }]);
});

t.test('the transactions commit with their jobs, and the program ends by itself', async (t) => {
  const db = await testDatabase(t);
  t.match(transactions, 'transactional: true');
  const child = run(files[1] ?? '', db.url);
  const [code] = await once(child.process, 'close');
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
