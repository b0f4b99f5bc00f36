// npm test: types, lint, the package, then every test file against one PostgreSQL. The last line says
// `N passed, N failed`; the exit code is 0 only when nothing failed.
//
//   npm test                             everything
//   npm test -- test/sql/add_job.test.ts these files only
//
// TEST_DATABASE_URL names a server to use instead of starting one; TEST_POSTGRES_VERSION another major version;
// TEST_JOBS how many files run at the same time (2).
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startTestServer, type TestServer } from './postgres/database.js';
import type { Report } from './reporter.js';
import { command, type Task, testFile } from './task.js';

const started = Date.now();
process.chdir(fileURLToPath(new URL('..', import.meta.url)));
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code)); // the server and the test files go with us
}

const chosen = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
let server: TestServer | undefined;
try {
  server = await startTestServer();
} catch (error) {
  total.failed++;
  console.log(
    `FAILED: a PostgreSQL with pgmill, to test against\n    ${error instanceof Error ? error.message : error}`,
  );
}
const tasks = [...(chosen.length > 0 ? [] : checks()), ...(server ? testFiles(server) : [])];
const width = Number(process.env['TEST_JOBS']) || 2;
await Promise.all(Array.from({ length: width }, work));
await server?.stop();

if (total.skipped > 0) console.log(`${total.skipped} skipped`);
console.log(`${seconds(started)} in all`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed > 0 ? 1 : 0;

async function work(): Promise<void> {
  for (let task = tasks.shift(); task; task = tasks.shift()) {
    const start = Date.now();
    const { passed, failed, skipped, text } = await task.run().catch(broken);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
    console.log(`${failed > 0 ? 'not ok' : 'ok'}  ${task.name}  (${passed} passed, ${seconds(start)})`);
    if (text) console.log(text.trimEnd());
  }
}

/** The closing line comes, whatever happens. */
function broken(error: Error): Report {
  return { passed: 0, failed: 1, skipped: 0, text: `FAILED: the test runner itself\n${error.stack}` };
}

function checks(): Task[] {
  return [
    command('types', ['node_modules/typescript/bin/tsc']),
    command('lint', ['node_modules/@biomejs/biome/bin/biome', 'check']),
    command('package', ['--import', 'tsx', 'test/package/check.ts']),
  ];
}

/** Those with processes of their own first: they take longest. */
function testFiles({ url, template }: TestServer): Task[] {
  const all = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.ts'));
  const ordered = all.sort().sort((a, b) => Number(b.startsWith('process/')) - Number(a.startsWith('process/')));
  const files = chosen.length > 0 ? chosen : ordered.map((file) => `test/${file}`);
  return files.map((file) => testFile(file, { PGMILL_TEST_SERVER: url, PGMILL_TEST_TEMPLATE: template }));
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
