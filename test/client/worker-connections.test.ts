// A worker claims on one connection and settles on another: they cross, and either may break.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import t from 'tap';
import { PgMill } from '../../client/index.js';
import { install } from '../postgres/database.js';
import { fastSettings, startPostgres } from '../postgres/start.js';
import { gate, open, until } from './worker-help.js';

type Sql = (text: string, values?: unknown[]) => Promise<{ pid: number; waits: boolean }[]>;

/** What was last sent tells the two apart. */
const claiming = 'pgmill.(get_jobs|next_run_at)';
const settling = 'pgmill.(complete_jobs|extend_leases)';

const sessions = (sql: Sql, last: string) =>
  sql(
    `select pid, wait_event_type is not distinct from 'Lock' as waits from pg_stat_activity
     where datname = current_database() and query ~ $1 and pid <> pg_backend_pid()`,
    [last],
  );

async function breakOff(sql: Sql, last: string): Promise<void> {
  for (const { pid } of await until('it is connected', async () => {
    const rows = await sessions(sql, last);
    return rows.length > 0 && rows;
  })) {
    await sql('select pg_terminate_backend($1, 5000)', [pid]);
  }
}

const blocked = (sql: Sql, last: string) =>
  until('it waits', async () => (await sessions(sql, last)).some(({ waits }) => waits));

t.test('a claim does not wait until the disk has it, an ending does', async (t) => {
  const { mill, worker, sql, state, client } = await open(t);
  await sql(`
    do $$ begin execute format('alter database %I set synchronous_commit = on', current_database()); end $$;
    create table seen (what text, setting text);
    create function see() returns trigger language plpgsql as
      $$ begin insert into public.seen values (tg_table_name, current_setting('synchronous_commit')); return null; end $$;
    create trigger see after insert on pgmill.running for each statement execute function see();
    create trigger see after insert on pgmill.finished for each statement execute function see();`);
  for (const listen of [true, false]) {
    const w = worker({ handlers: { job: () => {} }, pollInterval: 20, listen });
    await w.start();
    for (let round = 0; round < 2; round++) {
      const id = await mill.addJob('job');
      await until('it has run', async () => (await state(id)) === 'completed');
    }
    await w.stop();
  }
  await mill.addJob('job');
  t.match(await mill.runOnce({ handlers: { job: () => {} } }), { completed: 1 });
  await mill.addJob('job');
  await mill.getJobs({ worker: 'by hand', maxJobs: 1, tx: await client() });
  t.strictSame(
    await sql(`select what, setting, count(*)::int as n from seen where setting <> 'off' or what <> 'running'
               group by 1, 2 order by 1, 2`),
    [
      { what: 'finished', setting: 'on', n: 5 },
      { what: 'running', setting: 'on', n: 1 },
    ],
    'a claim by hand does wait',
  );
  t.strictSame(await sql(`select count(*)::int > 0 as some from seen where setting = 'off'`), [{ some: true }]);
});

t.test('the claims’ connection breaks while jobs run, and while they are settled', async (t) => {
  const { mill, worker, sql, states, client } = await open(t);
  const ends = [gate(), gate()];
  const started: string[] = [];
  const lost: string[] = [];
  const w = worker({
    concurrency: 2,
    pollInterval: 20,
    handlers: {
      job: async (_payload, { id }) => {
        started.push(id);
        await ends[Math.floor((started.length - 1) / 2)]?.opened;
      },
    },
  });
  w.on('error', () => {});
  w.on('lease:lost', ({ id }) => lost.push(id));
  await w.start();
  await mill.addJobs(Array.from({ length: 2 }, () => ({ name: 'job' })));
  await until('both run', () => started.length === 2);
  await breakOff(sql, claiming);
  ends[0]?.open();
  await until('they are completed', async () => (await states())['completed'] === 2);

  await mill.addJobs(Array.from({ length: 2 }, () => ({ name: 'job' })));
  await until('the next two run', () => started.length === 4);
  const blocker = await client();
  await blocker.query('begin; lock table pgmill.finished in exclusive mode');
  ends[1]?.open();
  await blocked(sql, settling);
  await breakOff(sql, claiming);
  await blocker.query('commit');
  await mill.addJob('job');
  await until('all are completed', async () => (await states())['completed'] === 5);
  t.equal(new Set(started).size, 5);
  t.equal(started.length, 5, 'each ran once');
  t.strictSame(lost, []);
});

t.test('the settling connection breaks: claims go on, and the endings are sent once more', async (t) => {
  const { mill, worker, sql, states, client } = await open(t);
  const started: string[] = [];
  const lost: string[] = [];
  const w = worker({
    concurrency: 1,
    prefetch: 0,
    handlers: { job: (_payload: unknown, { id }: { id: string }) => void started.push(id) },
  });
  w.on('error', () => {});
  w.on('lease:lost', ({ id }) => lost.push(id));
  await w.start();
  const blocker = await client();
  await blocker.query('begin; lock table pgmill.finished in exclusive mode');
  await mill.addJob('job');
  await blocked(sql, settling);
  await mill.addJobs(Array.from({ length: 10 }, () => ({ name: 'job' })));
  await until('others run meanwhile', () => started.length === 11);
  await breakOff(sql, settling);
  await mill.addJob('job');
  await until('another one runs', () => started.length === 12);
  t.strictSame(await states(), { running: 12 });
  await blocker.query('commit');
  await until('all are completed', async () => (await states())['completed'] === 12);
  t.equal(started.length, 12, 'each ran once');
  t.strictSame(lost, []);
});

t.test('claims nothing while it could not settle', async (t) => {
  const { mill, worker, sql, states } = await open(t);
  const errors: unknown[] = [];
  const w = worker({ pollInterval: 20, listen: false, handlers: { job: () => {} } });
  w.on('error', (error) => errors.push(error));
  await w.start();
  await mill.addJob('job');
  await until('it is completed', async () => (await states())['completed'] === 1);
  const allow = 'update pg_database set datallowconn = $1 where datname = current_database()';
  await sql(allow, [false]);
  await breakOff(sql, settling);
  await until('it tries to connect', () => errors.length > 2);
  const polling = await sessions(sql, claiming);
  t.equal(polling.length, 1, 'the other connection is there');
  await mill.addJob('job');
  const before = errors.length;
  await until('it tried again', () => errors.length > before + 1);
  t.strictSame(await states(), { completed: 1, ready: 1 });
  await sql(allow, [true]);
  await until('both are completed', async () => (await states())['completed'] === 2);
});

t.test('claims no more while many endings wait', async (t) => {
  const { mill, worker, sql, states, client } = await open(t);
  const jobs = 400;
  await mill.addJobs(Array.from({ length: jobs }, () => ({ name: 'job' })));
  const blocker = await client();
  await blocker.query('begin; lock table pgmill.finished in exclusive mode');
  let ran = 0;
  const w = worker({ concurrency: 2, prefetch: 0, handlers: { job: () => void ran++ } });
  await w.start();
  await until('many wait', () => ran > 100);
  const claims = async () => (await sql('select count(*)::int as n from pgmill.running'))[0].n as number;
  await sleep(300); // long enough for hundreds
  t.ok((await claims()) <= 102, `${await claims()} jobs are held`);
  await blocker.query('commit');
  await until('all are completed', async () => (await states())['completed'] === jobs);
  t.equal(ran, jobs);
});

t.test('heartbeats and endings that cross harm nobody', async (t) => {
  const { mill, worker, sql, state, states, client } = await open(t);
  const [ended, beating] = [gate(), gate()];
  const lost: string[] = [];
  const aborted: unknown[] = [];
  let beat: () => Promise<void> = async () => {};
  const w = worker({
    concurrency: 2,
    handlers: {
      ends: async (_payload, { signal }) => {
        signal.addEventListener('abort', () => aborted.push(signal.reason));
        await ended.opened;
      },
      beats: async (_payload, ctx) => {
        ctx.signal.addEventListener('abort', () => aborted.push(ctx.signal.reason));
        beat = () => ctx.heartbeat();
        await beating.opened;
      },
    },
  });
  w.on('lease:lost', ({ id }) => lost.push(id));
  await w.start();
  const id = await mill.addJob('ends');
  await mill.addJob('beats');
  await until('both run', async () => (await states())['running'] === 2);

  // A heartbeat that names the job is under way when the job ends; another one comes behind its ending.
  const blocker = await client();
  await blocker.query('begin');
  await blocker.query('select from pgmill.running where id = $1 for update', [id]);
  const first = beat();
  await blocked(sql, 'extend_leases');
  ended.open();
  const second = beat();
  await blocker.query('commit');
  await Promise.all([first, second]);
  await until('it is completed', async () => (await state(id)) === 'completed');
  t.equal((await states())['running'], 1);
  beating.open();
  await until('both are completed', async () => (await states())['completed'] === 2);
  t.strictSame([lost, aborted], [[], []]);
});

t.test('a claim that a crash of the server undid: the job runs again, and its first run is refused', async (t) => {
  const server = await startPostgres({
    // On, and nothing else that writes the log.
    settings: { ...fastSettings, synchronous_commit: true, autovacuum: false, bgwriter_lru_maxpages: 0 },
  });
  t.teardown(() => server.stop());
  await install(server.connectionString);
  const pool = new pg.Pool({ connectionString: server.connectionString });
  t.teardown(() => pool.end());
  const mill = new PgMill({ pool });
  await mill.tick();
  const { rows } = await pool.query(`select pid from pg_stat_activity where backend_type = 'walwriter'`);
  const writer = rows[0].pid as number;
  const end = gate();
  const runs: (string | number)[][] = [];
  const lost: string[] = [];
  const w = mill.worker({
    pollInterval: 20,
    listen: false,
    handlers: {
      job: async (_payload, { job, attempt }) => {
        runs.push([job.id, attempt, job.token]);
        if (runs.length === 1) await end.opened;
      },
    },
  });
  w.on('error', () => {});
  w.on('lease:lost', ({ token }) => lost.push(token));
  t.teardown(() => w.stop());
  await w.start();
  process.kill(writer, 'SIGSTOP');
  const id = await mill.addJob('job');
  await until('it runs', () => runs.length === 1);
  const down = server.down('immediate');
  process.kill(writer, 'SIGCONT');
  await down;
  end.open();
  await server.up();
  await until('it is completed', async () => (await mill.findJob(id).catch(() => undefined))?.state === 'completed');
  t.strictSame(
    runs.map(([each, attempt]) => [each, attempt]),
    [
      [id, 1],
      [id, 1],
    ],
  );
  await until('the first run is refused', () => lost.length === 1);
  t.equal(lost[0], runs[0]?.[2]);
  t.not(runs[0]?.[2], runs[1]?.[2]);
});
