// npm test itself: what counts as passed, as failed, and what is shown.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type Report, Reporter } from '../reporter.js';
import { command, testFile } from '../task.js';

const fine = { code: 0, signal: null, timedOut: false };

function read(tap: string, ending = fine as { code: number | null; signal: string | null; timedOut: boolean }): Report {
  const reporter = new Reporter('x.test.ts');
  reporter.write(`TAP version 14\n${tap}`);
  return reporter.end(ending);
}

const passing = `# Subtest: adds
    ok 1 - one
    ok 2 - two
    1..2
ok 1 - adds
# Subtest: a group
    # Subtest: of this
        ok 1 - yes
        1..1
    ok 1 - of this
    # Subtest: and that
        not ok 1 - no
          ---
          diff: |
            -left
            +right
          ...
        1..1
    not ok 2 - and that
    1..2
not ok 2 - a group
1..2
`;

t.test(
  'a test is a t.test that asserts; a group of them is none; a failure shows its full name and its diff',
  async (t) => {
    const { passed, failed, text } = read(passing, { ...fine, code: 1 });
    t.match({ passed, failed }, { passed: 2, failed: 1 });
    t.match(text, 'FAILED: x.test.ts > a group > and that > no');
    t.match(text, /-left\n\s+\+right/);
  },
);

t.test('assertions outside any t.test make the file one test', async (t) => {
  t.match(read('ok 1 - yes\nok 2 - yes\n1..2\n'), { passed: 1, failed: 0 });
  t.match(read('ok 1 - yes\nnot ok 2 - no\n1..2\n', { ...fine, code: 1 }), { passed: 0, failed: 1 });
});

t.test('a failure without a value to show is shown too', async (t) => {
  const { text } = read('not ok 1 - no\n  ---\n  found: 1\n  doNotWant: 0\n  ...\n1..1\n', { ...fine, code: 1 });
  t.match(text, /found: 1\n\s+wanted: undefined/);
});

t.test('a skipped test is neither, and is named with its reason', async (t) => {
  const report = read('ok 1 - with psql # SKIP no psql here\n1..1\n');
  t.match(report, { passed: 0, failed: 0, skipped: 1 });
  t.match(report.text, 'skipped: x.test.ts > with psql (no psql here)');
});

t.test('a t.test that asserts nothing has failed', async (t) => {
  t.match(read('# Subtest: nothing\n    1..0\nok 1 - nothing\n1..1\n'), { passed: 0, failed: 1 });
});

t.test('a file that holds no test, crashes, is killed or takes too long has failed', async (t) => {
  t.match(read('1..0\n'), { failed: 1, text: /holds no test/ });
  t.match(read('ok 1 - yes\n1..1\n', { ...fine, code: 7 }), { failed: 1, text: /ended with exit code 7/ });
  t.match(read('ok 1 - yes\n', { code: null, signal: 'SIGSEGV', timedOut: false }), {
    failed: 1,
    text: /ended by SIGSEGV/,
  });
  t.match(read('ok 1 - yes\n', { code: null, signal: 'SIGKILL', timedOut: true }), {
    failed: 1,
    text: /took too long/,
  });
});

t.test('a test that its process did not survive has failed', async (t) => {
  t.match(read('# Subtest: dies\n    ok 1 - so far\n', { code: 7, signal: null, timedOut: false }), {
    passed: 0,
    failed: 1,
  });
});

t.test('real files: one passes, one ends its process, one never ends', async (t) => {
  const test = (body: string) => `import t from ${JSON.stringify(import.meta.resolve('tap'))};
    t.test('first', async (t) => { t.ok(true); });
    t.test('second', async (t) => { ${body} });`;
  const run = async (name: string, body: string) => {
    const file = path.join(t.testdirName, `${name}.mts`);
    writeFileSync(file, test(body));
    return testFile(file, {}, { test: 1000, file: 5000 }).run();
  };
  t.testdir({});
  t.match(await run('passes', 't.equal(1, 1)'), { passed: 2, failed: 0, text: '' });
  t.match(await run('ends', 'process.exit(0)'), { passed: 1, failed: 1 });
  t.match(await run('hangs', 'await new Promise((resolve) => setTimeout(resolve, 60_000))'), {
    passed: 1,
    text: /second/,
  });
  t.match(await run('prints', "console.log('a hint'); t.equal(1, 2)"), { failed: 1, text: /a hint/ });
});

t.test('a command passes or fails as a whole, and a failure shows what it printed', async (t) => {
  t.match(await command('good', ['--eval', 'console.log(1)']).run(), { passed: 1, failed: 0, text: '' });
  const bad = await command('bad', ['--eval', "console.log('why'); process.exit(1)"]).run();
  t.match(bad, { passed: 0, failed: 1, text: /FAILED: bad\nwhy/ });
});
