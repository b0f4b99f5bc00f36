import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

export interface Measures {
  bytes: number;
  /** Line feeds, as `wc -l` counts. */
  lines: number;
  gzipBytes: number;
  sha256: string;
}

/** Reads a file once, in pieces, however large it is. Undefined: it is gone, or is no ordinary file any more. */
export async function measure(path: Buffer, signal: AbortSignal): Promise<Measures | undefined> {
  const file = await openFile(path);
  if (file === undefined) return undefined;
  try {
    if (!(await file.stat()).isFile()) return undefined;

    const hash = createHash('sha256');
    const measures = { bytes: 0, lines: 0, gzipBytes: 0 };
    async function* count(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        measures.bytes += chunk.length;
        measures.lines += lineFeeds(chunk);
        yield chunk;
      }
    }
    async function countGzipped(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) measures.gzipBytes += chunk.length;
    }
    // gzip runs on threads of Node's own, so several files are compressed at a time.
    await pipeline(file.createReadStream({ autoClose: false }), count, createGzip(), countGzipped, { signal });
    return { ...measures, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

async function openFile(path: Buffer): Promise<FileHandle | undefined> {
  // What was an ordinary file may be a pipe by now (do not wait for its writer) or a link (do not follow it).
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
  try {
    return await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(code)) return undefined;
    throw error;
  }
}

function lineFeeds(chunk: Buffer): number {
  let lines = 0;
  for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines += 1;
  return lines;
}
