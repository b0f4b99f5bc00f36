// Checked by `npm run types`, never run: each line under @ts-expect-error must not compile.
import { FinalError, type JobContext, PgMill, type Worker } from '../../client/index.js';

interface Jobs {
  mail: { to: string };
  resize: { width: number };
  cleanup: undefined;
}

declare const mill: PgMill<Jobs>;
const mail = (payload: { to: string }) => payload.to;
const resize = (payload: { width: number }) => payload.width;
const cleanup = () => {};

export async function allOfThem(): Promise<Worker<Jobs>> {
  const worker = mill.worker({
    handlers: {
      mail: async ({ to }, ctx) => {
        const jobs: PgMill<Jobs> = ctx.mill;
        const signal: AbortSignal = ctx.signal;
        await jobs.addJob('resize', { width: to.length });
        // @ts-expect-error no such job
        await ctx.mill.addJob('fax');
        // @ts-expect-error only a transactional handler has one
        ctx.tx;
        return signal.aborted;
      },
      resize: {
        transactional: true,
        timeout: 5000,
        keep: false,
        retry: { base: 1000, max: 60_000 },
        handler: async ({ width }, { tx, id }) => {
          await tx.query('insert into picture values ($1, $2)', [id, width]);
        },
      },
      cleanup: {
        timeout: 5000,
        handler: (_payload, ctx) => {
          const context: JobContext<Jobs> = ctx;
          // @ts-expect-error it is not transactional
          ctx.tx;
          return context.attempt > 1 ? ctx.fail('no') : ctx.snooze(1000);
        },
      },
    },
    concurrency: 3,
    queues: ['default', 'other'],
  });
  worker.on('job:complete', (job, result) => [job.id, result]);
  worker.on('job:fail', ({ name }, { error, state }) => [name, error instanceof FinalError, state === 'failed']);
  // @ts-expect-error no such event
  worker.on('job:done', () => {});
  // @ts-expect-error no such state
  worker.on('job:fail', (_job, { state }) => state === 'lost');
  await worker.start();
  return worker;
}

export function someOfThem() {
  mill.worker({ names: ['mail'], handlers: { mail } });
  const handlers = { mail, resize, cleanup };
  mill.worker({ names: ['mail'], handlers });
  mill.worker({ exceptNames: ['mail'], handlers });
  mill.worker({ exceptNames: ['mail'], handlers: { resize, cleanup } });
  mill.worker({ handlers: { '*': (payload, { job }) => [payload, job.name] } });
  mill.worker({
    handlers: {
      mail: ({ to }) => to,
      resize: { handler: resize, timeout: 5 },
      '*': { transactional: true, handler: (_payload, { tx }) => tx },
    },
    exceptNames: ['cleanup'],
  });
  mill.worker({ names: ['mail'], handlers: { mail: { handler: ({ to }, ctx) => [to, ctx.attempt] } } });
  mill.worker({ exceptNames: ['mail', 'resize'], handlers: { cleanup: { handler: (_payload, ctx) => ctx.id } } });

  // @ts-expect-error the handlers for two of the names are missing
  mill.worker({ handlers: { mail } });
  // @ts-expect-error a handler that is asked for is missing
  mill.worker({ names: ['mail', 'resize'], handlers: { mail } });
  // @ts-expect-error a handler that is not excepted is missing
  mill.worker({ exceptNames: ['mail'], handlers: { resize } });
  // @ts-expect-error no such name
  mill.worker({ names: ['fax'], handlers: { mail, resize, cleanup } });
  // @ts-expect-error a handler for a job that does not exist
  mill.worker({ handlers: { mail, resize, cleanup, fax: () => {} } });
  // @ts-expect-error names and exceptNames exclude each other
  mill.worker({ names: ['mail'], exceptNames: ['resize'], handlers: { mail, resize, cleanup } });
  // @ts-expect-error no handlers
  mill.worker({ concurrency: 3 });
}

export function payloadsAndOptions() {
  // @ts-expect-error a handler that wants another payload
  mill.worker({ names: ['mail'], handlers: { mail: (payload: { to: number }) => payload } });
  // @ts-expect-error the payload has no such property
  mill.worker({ names: ['mail'], handlers: { mail: (payload) => payload.from } });
  // @ts-expect-error the same in an object
  mill.worker({ names: ['mail'], handlers: { mail: { handler: (payload) => payload.from } } });
  // @ts-expect-error the payload of a catch-all is unknown
  mill.worker({ handlers: { '*': (payload) => payload.to } });
  // @ts-expect-error no such option
  mill.worker({ names: ['mail'], handlers: { mail }, parallel: 3 });
  // @ts-expect-error no such option of a handler
  mill.worker({ names: ['mail'], handlers: { mail: { handler: mail, retries: 3 } } });
  // @ts-expect-error an option of runOnce
  mill.worker({ names: ['mail'], handlers: { mail }, limit: 3 });
}

export async function once() {
  const { claimed, completed }: { claimed: number; completed: number } = await mill.runOnce({
    names: ['mail'],
    handlers: { mail },
    limit: 10,
    deadline: 5000,
  });
  // @ts-expect-error an option of worker
  await mill.runOnce({ names: ['mail'], handlers: { mail }, pollInterval: 5 });
  return claimed - completed;
}

/** Without a payload map the handler says what it expects. */
export function withoutMap() {
  const any = new PgMill();
  any.worker({ handlers: { whatever: (payload: { x: number }) => payload.x, other: () => {} } });
  any.worker({ handlers: { '*': (payload, { job }) => [payload, job.name] } });
  any.worker({ handlers: { whatever: { timeout: 5, handler: (payload, { id }) => [payload.x, id] } } });
  any.worker({ handlers: { whatever: { transactional: true, handler: (_payload, { tx }) => tx.query('select 1') } } });
}
