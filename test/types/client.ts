// Checked by `npm run types`, never run: each line under @ts-expect-error must not compile.
import type pg from 'pg';
import { cleanupJob, insightsJob, type Job, type MaintenanceJobs, PgMill } from '../../client/index.js';

interface Jobs {
  'send-mail': { to: string; copies?: number };
  resize: { width: number; height: number };
  cleanup: undefined;
  report: { days?: number };
  nothing: null;
}

declare const mill: PgMill<Jobs>;
declare const client: pg.PoolClient;
declare const pool: pg.Pool;

export async function payloads() {
  const id: string = await mill.addJob('send-mail', { to: 'a@example.com' });
  await mill.addJob('send-mail', { to: 'a@example.com', copies: 2 }, { priority: 0, runAt: new Date(), tx: client });
  await mill.addJob('nothing', null);

  // @ts-expect-error no such name
  await mill.addJob('send-fax', { to: 'a@example.com' });
  // @ts-expect-error a property of the wrong type
  await mill.addJob('send-mail', { to: 1 });
  // @ts-expect-error a property is missing
  await mill.addJob('resize', { width: 1 });
  // @ts-expect-error a property too many
  await mill.addJob('resize', { width: 1, height: 1, depth: 1 });
  // @ts-expect-error the payload of another job
  await mill.addJob('resize', { to: 'a@example.com' });
  // @ts-expect-error the payload is needed
  await mill.addJob('send-mail');
  // @ts-expect-error null is not undefined: it is needed
  await mill.addJob('nothing');
  return id;
}

export async function payloadsThatMayBeLeftOut() {
  await mill.addJob('cleanup');
  await mill.addJob('cleanup', undefined, { queue: 'night' });
  await mill.addJob('report');
  await mill.addJob('report', { days: 3 });
  // @ts-expect-error it may be left out, not be wrong
  await mill.addJob('report', { days: 'three' });
  // @ts-expect-error options are no payload
  await mill.addJob('cleanup', { queue: 'night' });
}

export async function options() {
  // @ts-expect-error no such option
  await mill.addJob('cleanup', undefined, { delay: 5 });
  // @ts-expect-error a time is a Date
  await mill.addJob('cleanup', undefined, { runAt: Date.now() });
  // @ts-expect-error a duration is a number of milliseconds
  await mill.addJob('cleanup', undefined, { timeout: '5 seconds' });
  // @ts-expect-error no such choice
  await mill.addJob('cleanup', undefined, { onDuplicate: 'ignore' });
  // @ts-expect-error an id is a string
  await mill.findJob(1);
  // @ts-expect-error no such state
  await mill.findJobs({ state: 'done' });
  // @ts-expect-error a filter has to be given, `{}` for every job
  await mill.cancelJobs();
  // @ts-expect-error a lease is an id and a token
  await mill.completeJob('1');
}

export async function manyJobs() {
  const added: { id: string; created: boolean }[] = await mill.addJobs([
    { name: 'send-mail', payload: { to: 'a@example.com' }, priority: 1 },
    { name: 'cleanup' },
    { name: 'report', payload: {} },
  ]);
  // @ts-expect-error the payload of another job
  await mill.addJobs([{ name: 'send-mail', payload: { width: 1, height: 1 } }]);
  // @ts-expect-error the payload is needed
  await mill.addJobs([{ name: 'resize' }]);
  // @ts-expect-error no such name
  await mill.addJobs([{ name: 'send-fax' }]);
  return added;
}

export async function leases() {
  const [job] = await mill.getJobs({ worker: 'w', maxJobs: 1, names: ['send-mail', 'resize'] });
  if (job?.name === 'resize') {
    const width: number = job.payload.width;
    // @ts-expect-error the payload belongs to the name
    job.payload.to;
    return width;
  }
  const mail = job as Job<Jobs, 'send-mail'>;
  const to: string = mail.payload.to;
  // @ts-expect-error a worker has a name
  await mill.getJob({});
  // @ts-expect-error getJobs needs a limit
  await mill.getJobs({ worker: 'w' });
  // @ts-expect-error no such name
  await mill.getJobs({ worker: 'w', maxJobs: 1, names: ['send-fax'] });
  return to;
}

/** Without a payload map everything goes, and payloads are unknown. */
export async function withoutMap() {
  const any = new PgMill({ pool });
  await any.addJob('whatever', { x: 1 }, { priority: 1 });
  await any.addJob('whatever');
  await any.addJobs([{ name: 'whatever', payload: [1] }, { name: 'other' }]);
  const job = await any.getJob({ worker: 'w' });
  // @ts-expect-error unknown until it is checked
  job?.payload.x;
  // @ts-expect-error the options all the same
  await any.addJob('whatever', {}, { prio: 1 });
}

/** Any client with pg's query will do for `tx`. */
export async function transactions() {
  await mill.addJob('cleanup', undefined, { tx: client });
  await mill.addJob('cleanup', undefined, { tx: pool });
  await mill.addJob('cleanup', undefined, {
    tx: { query: async (_text: string, _values?: unknown[]) => ({ rows: [] }) },
  });
  // @ts-expect-error not a client
  await mill.addJob('cleanup', undefined, { tx: 'begin' });
  // @ts-expect-error its query does not answer like pg's
  await mill.addJob('cleanup', undefined, { tx: { query: async () => [1] } });
}

export function workers() {
  const others = { resize: () => {}, cleanup: () => {}, report: () => {}, nothing: () => {} };
  mill.worker({ handlers: { ...others, 'send-mail': (payload) => payload.to } });
  mill.worker({ handlers: { 'send-mail': (payload, { job }) => [payload.to, job.id] }, names: ['send-mail'] });

  // @ts-expect-error a handler is missing
  mill.worker({ handlers: { 'send-mail': () => {} } });
  // @ts-expect-error a handler for a job that does not exist
  mill.worker({ handlers: { ...others, 'send-mail': () => {}, 'send-fax': () => {} } });
  // @ts-expect-error a handler that wants another payload
  mill.worker({ handlers: { ...others, 'send-mail': (_payload: { to: number }) => {} } });
  // @ts-expect-error the payload has no such property
  mill.worker({ handlers: { ...others, 'send-mail': (payload) => payload.from } });
  // @ts-expect-error a handler is missing here too
  void mill.runOnce({ handlers: { 'send-mail': () => {} } });
}

export async function schedules() {
  const next: Date = await mill.cronUpsert('cleanup', { expression: '@daily' });
  await mill.cronUpsert('report', { every: 60_000, payload: { days: 3 }, timezone: 'Asia/Tokyo', tx: client });
  await mill.cronUpsert('send-mail', { every: { months: 1 }, payload: { to: 'a@example.com' } });
  await mill.cronUpsert('any name', { expression: '@daily', jobName: 'cleanup' });
  await mill.cronUpsert('any name', { expression: '@daily', jobName: 'resize', payload: { width: 1, height: 1 } });
  await mill.addRecurringJob('cleanup', { interval: { years: 1, seconds: 5 }, missed: 'all', owner: 'me' });
  await mill.addRecurringJob('any name', { interval: { days: 1 }, jobName: 'send-mail', payload: { to: 'a' } });
  const registered: { name: string; nextTick: Date }[] = await mill.registerCronJobs(
    [
      { name: 'cleanup', expression: '@daily' },
      { name: 'mail at nine', expression: '0 9 * * *', jobName: 'send-mail', payload: { to: 'a@example.com' } },
      { name: 'resize', every: { hours: 1 }, payload: { width: 1, height: 1 }, overlap: true },
    ],
    { owner: 'app' },
  );
  const after: Date | null = await mill.cronNext('@daily', next, 'Asia/Tokyo');

  // @ts-expect-error neither the name of a job nor a jobName
  await mill.cronUpsert('any name', { expression: '@daily' });
  // @ts-expect-error no such job
  await mill.cronUpsert('any name', { expression: '@daily', jobName: 'send-fax' });
  // @ts-expect-error the payload is needed
  await mill.cronUpsert('send-mail', { expression: '@daily' });
  // @ts-expect-error the payload of jobName is needed
  await mill.cronUpsert('cleanup', { expression: '@daily', jobName: 'send-mail' });
  // @ts-expect-error a property of the wrong type
  await mill.cronUpsert('any name', { expression: '@daily', jobName: 'send-mail', payload: { to: 1 } });
  // @ts-expect-error the payload of another job
  await mill.cronUpsert('resize', { expression: '@daily', payload: { to: 'a@example.com' } });
  // @ts-expect-error when is needed
  await mill.cronUpsert('cleanup', {});
  // @ts-expect-error one of the two
  await mill.cronUpsert('cleanup', { expression: '@daily', every: 1000 });
  // @ts-expect-error no such unit
  await mill.cronUpsert('cleanup', { every: { weeks: 1 } });
  // @ts-expect-error no such policy
  await mill.cronUpsert('cleanup', { expression: '@daily', missed: 'never' });
  // @ts-expect-error no such option
  await mill.cronUpsert('cleanup', { expression: '@daily', tz: 'Asia/Tokyo' });
  // @ts-expect-error an interval, not a number
  await mill.addRecurringJob('cleanup', { interval: 1000 });
  // @ts-expect-error an interval is needed
  await mill.addRecurringJob('cleanup', { expression: '@daily' });
  // @ts-expect-error the payload is needed
  await mill.registerCronJobs([{ name: 'send-mail', expression: '@daily' }]);
  // @ts-expect-error the payload of another job
  await mill.registerCronJobs([{ name: 'x', expression: '@daily', jobName: 'resize', payload: { to: 'a' } }]);
  // @ts-expect-error no such job
  await mill.registerCronJobs([{ name: 'any name', expression: '@daily' }]);
  // @ts-expect-error the owner is the list's
  await mill.registerCronJobs([{ name: 'cleanup', expression: '@daily', owner: 'me' }]);

  const anyMill = new PgMill({ pool });
  await anyMill.cronUpsert('whatever', { expression: '@daily', payload: [1] });
  await anyMill.registerCronJobs([{ name: 'whatever', every: 1000, jobName: 'other' }]);
  return { next, registered, after };
}

interface JobsAndMaintenance extends MaintenanceJobs {
  'send-mail': { to: string };
}

/** The ready-made jobs, with a payload map that names them, with one that does not, and with none. */
export async function readyMade(listed: PgMill<JobsAndMaintenance>) {
  await listed.registerCronJobs([
    { name: 'pgmill.cleanup', expression: '0 1 * * *' },
    { name: 'pgmill.insights', expression: '0 * * * *' },
  ]);
  const ready = { 'pgmill.cleanup': cleanupJob({ failedAfter: 1000 }), 'pgmill.insights': insightsJob() };
  listed.worker({ handlers: { ...ready, 'send-mail': ({ to }) => to } });
  listed.worker({ names: ['pgmill.cleanup'], handlers: { 'pgmill.cleanup': cleanupJob() } });
  // @ts-expect-error they need a handler
  listed.worker({ handlers: { 'send-mail': ({ to }) => to } });

  const maintenance = new PgMill<MaintenanceJobs>({ pool });
  maintenance.worker({ handlers: ready });
  const anyMill = new PgMill({ pool });
  await anyMill.registerCronJobs([{ name: 'pgmill.cleanup', expression: '0 1 * * *' }]);
  anyMill.worker({ handlers: { ...ready, another: () => {} } });
  void anyMill.runOnce({ handlers: { '*': insightsJob({ log: (insights) => insights[0]?.ready }) } });

  // @ts-expect-error not in the payload map
  await mill.registerCronJobs([{ name: 'pgmill.cleanup', expression: '0 1 * * *' }]);
  // @ts-expect-error no such option
  cleanupJob({ completedafter: 1 });
  // @ts-expect-error a function
  insightsJob({ log: console });
}
