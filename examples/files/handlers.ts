import type { Handlers } from '../../client/index.js';
import type { Jobs } from './jobs.js';
import { measure } from './measure.js';
import { decodePath, joinPath } from './paths.js';

/** What the worker does for each job. */
export function handlers(folder: Buffer): Handlers<Jobs> {
  return {
    async 'demo.file'({ file, path }, ctx) {
      if (failsFirst(file) && ctx.attempt === 1) throw new Error('This attempt fails on purpose.');

      // The work first, and only then the transaction, so that it is short.
      const measures = await measure(joinPath(folder, decodePath(path)), ctx.signal).catch((error) => {
        if (error.code === 'EACCES' || error.code === 'EPERM') return ctx.fail('Permission denied.');
        throw error;
      });

      // The result and the completion of the job: both, or neither.
      await ctx.complete(async (tx) => {
        const { bytes, lines, gzipBytes, sha256 } = measures ?? {};
        await tx.query(
          `insert into pgmill_demo.result (file, job, attempt, bytes, lines, gzip_bytes, sha256)
           values ($1, $2, $3, $4, $5, $6, $7)`,
          [file, ctx.id, ctx.attempt, bytes, lines, gzipBytes, sha256],
        );
      });
    },

    'demo.endless': (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
  };
}

/** A few files fail at their first attempt, always the same ones. */
export function failsFirst(file: string): boolean {
  return Number(file) % 500 === 1;
}
