// Every code block of docs/ is run as it stands there, from the top of a page to its end, in one database.
//
//   ts    compiles and runs; one that listens for SIGTERM gets it when no job is left to do
//   sql   runs
//   sh    runs; its commands are pgmill's
//   text  is what the command above it printed
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type TestDatabase, testDatabase } from '../postgres/database.js';
import { type Block, codeBlocks, compile, type Running, root, run, runShell } from './page.js';

const pages = readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md'));
t.ok(pages.includes('recurring.md'));

for (const page of pages) {
  t.test(page, async (t) => {
    const blocks = codeBlocks(t, `docs/${page}`);
    t.strictSame(compile(blocks.flatMap(({ file }) => (file === '' ? [] : [file]))), [], 'the TypeScript compiles');

    const db = await testDatabase(t);
    const client = await db.client();
    let printed = '';
    for (const { language, code, file } of blocks) {
      if (language === 'ts') printed = await finish(t, run(file, db.url), stopWhenIdle(db, code));
      else if (language === 'sh') printed = await finish(t, runShell(code, db.url));
      else if (language === 'sql') await t.resolves(client.query(code), code);
      else if (language === 'text') t.equal(printed, code);
      else t.fail(`no way to run "${language}"`);
    }
    await checks[page]?.(t, db, blocks);
  });
}

/** What a page should have left behind. */
const checks: Record<string, (t: Test, db: TestDatabase, blocks: Block[]) => Promise<void>> = {
  'recurring.md': async (t, db) => {
    t.strictSame(await db.sql('select name, owner, paused, error from pgmill.find_crons()'), [
      { name: 'feed.poll', owner: 'shop', paused: false, error: null },
      { name: 'invoice.send', owner: 'default', paused: false, error: null },
      { name: 'pgmill.cleanup', owner: 'maintenance', paused: false, error: null },
      { name: 'pgmill.insights', owner: 'maintenance', paused: false, error: null },
      { name: 'report.build', owner: 'shop', paused: false, error: null },
      { name: 'weekly report', owner: 'shop', paused: false, error: null },
    ]);
    t.strictSame(await db.sql('select name, state, result from pgmill.job where cron_tick is not null order by name'), [
      { name: 'feed.poll', state: 'completed', result: { since: null } },
      { name: 'invoice.send', state: 'completed', result: null },
    ]);
  },
};

async function finish(t: Test, running: Running, meanwhile?: (child: Running) => Promise<void>): Promise<string> {
  const exited = once(running.process, 'close');
  await meanwhile?.(running);
  const [code, signal] = await exited;
  t.strictSame({ code, signal }, { code: 0, signal: null }, running.output());
  return running.output();
}

/** For a worker: it has done something, and nothing is left. */
function stopWhenIdle(db: TestDatabase, code: string) {
  if (!code.includes('SIGTERM')) return undefined;
  return async ({ process }: Running) => {
    for (let left = 1200; left > 0 && process.exitCode === null; left--) {
      const [jobs] = await db.sql(
        `select count(*) filter (where state = 'completed')::int as done,
           count(*) filter (where state in ('ready', 'running'))::int as left from pgmill.job`,
      );
      if (jobs.done > 1 && jobs.left === 0) break;
      await sleep(50);
    }
    process.kill('SIGTERM');
  };
}
