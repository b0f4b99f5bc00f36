// Schedules under many processes at once, some of which die.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { testDatabase } from '../postgres/database.js';

const schedules = 20;
const seconds = 10;

t.test('8 processes fire 200 ticks of 20 schedules, two are killed: one job per tick, none missing', async (t) => {
  const db = await testDatabase(t);
  await db.sql(
    `select pgmill.cron_upsert('each second ' || n, '* * * * * *', missed => 'all', overlap => true, job_name => 'work')
     from generate_series(1, $1) n`,
    [schedules],
  );
  const script = fileURLToPath(new URL('./call_forever.mjs', import.meta.url));
  // tick() lets one session at a time do the upkeep; what it calls must be safe without that, too.
  const statements = ['select * from pgmill.tick()', 'select pgmill.fire_due_crons()'];
  const processes = Array.from({ length: 8 }, (_, n) =>
    spawn(process.execPath, [script, db.url, statements[n % 2] as string], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  t.teardown(() => processes.map((child) => child.kill('SIGKILL')));
  await Promise.all(processes.map((child) => once(child.stdout as NodeJS.ReadableStream, 'data')));

  const start = Date.now();
  for (const [n, at] of [
    [0, 2_500],
    [1, 5_300],
  ] as const) {
    await sleep(start + at - Date.now());
    await stop(processes[n] as ChildProcess, 'SIGKILL');
  }
  await sleep(start + (seconds + 1) * 1_000 - Date.now());
  await db.sql(`select pgmill.cron_pause(name) from pgmill.find_crons()`);
  await Promise.all(processes.slice(2).map((child) => stop(child)));

  const rows = await db.sql(
    `select c.name, count(*)::int as jobs, count(distinct j.cron_tick)::int as ticks,
       extract(epoch from max(j.cron_tick) - min(j.cron_tick))::int + 1 as span,
       c.last_tick = max(j.cron_tick) as last, c.next_tick = max(j.cron_tick) + interval '1 s' as next,
       (select count(*)::int from pgmill.cron_tick k where k.cron = c.name) as recorded
     from pgmill.cron c left join pgmill.job j on j.cron = c.name group by c.name`,
  );
  t.equal(rows.length, schedules);
  for (const row of rows) {
    t.ok(row.jobs >= seconds, `${row.name}: ${row.jobs} jobs`);
    t.match(row, { ticks: row.jobs, span: row.jobs, recorded: row.jobs, last: true, next: true });
  }
  t.equal(
    (await db.sql('select count(*)::int as errors from pgmill.find_crons() where error is not null'))[0].errors,
    0,
  );
});

async function stop(child: ChildProcess, signal?: NodeJS.Signals): Promise<void> {
  const exited = once(child, 'exit');
  if (signal) child.kill(signal);
  else child.stdin?.end();
  await exited;
}
