import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import type pg from 'pg';
import type { NewJob, PgMill } from '../../client/index.js';
import { transaction } from './database.js';
import type { Jobs } from './jobs.js';
import { encodePath, joinPath } from './paths.js';

/** What a walk came across. */
export class Found {
  files = 0;
  folders = 0;
  links = 0;
  /** Devices, pipes and sockets. */
  others = 0;
  /** Not entered. */
  mounts = 0;
  /** Folders that cannot be read. */
  unreadable: string[] = [];
}

export interface WalkOptions {
  mill: PgMill<Jobs>;
  pool: pg.Pool;
  queue: string;
  folder: Buffer;
  /** A folder to leave out. */
  except: string | undefined;
  /** Ends the walk early. */
  signal: AbortSignal;
}

/** So many folders are read at a time. */
const atOnce = 8;
/** addJobs takes 10000 at most. */
const jobsPerCall = 5000;

/** Walks through the folder and adds a job for each file. One transaction for each folder on the way. */
export async function walk(found: Found, options: WalkOptions): Promise<void> {
  const device = (await lstat(options.folder)).dev;
  for (let level: Buffer[] = [Buffer.alloc(0)]; level.length > 0; ) {
    const below: Buffer[][] = [];
    for (let next = 0; next < level.length && !options.signal.aborted; next += atOnce) {
      const some = level.slice(next, next + atOnce);
      below.push(...(await Promise.all(some.map((path) => visit(path, device, found, options)))));
    }
    level = below.flat();
  }
}

/** Adds the files of a folder; returns the folders in it. */
async function visit(path: Buffer, device: number, found: Found, options: WalkOptions): Promise<Buffer[]> {
  const absolute = joinPath(options.folder, path);
  const entries = await read(absolute, device, found);
  if (entries === undefined || absolute.toString() === options.except) return [];

  found.folders += 1;
  const pathsOf = (some: Dirent<Buffer>[]) => some.map(({ name }) => joinPath(path, name));
  const files = entries.filter((entry) => entry.isFile());
  const folders = entries.filter((entry) => entry.isDirectory());
  const links = entries.filter((entry) => entry.isSymbolicLink());
  found.files += files.length;
  found.links += links.length;
  found.others += entries.length - files.length - folders.length - links.length;
  if (files.length > 0) await addFiles(pathsOf(files).map(encodePath), options);
  return pathsOf(folders);
}

async function read(folder: Buffer, device: number, found: Found): Promise<Dirent<Buffer>[] | undefined> {
  try {
    if ((await lstat(folder)).dev === device) return await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
    found.mounts += 1;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // What has vanished since its name was read is no folder of ours.
    if (code !== 'ENOENT' && code !== 'ENOTDIR') found.unreadable.push(`${encodePath(folder)}: ${code}`);
  }
  return undefined;
}

/** The rows of the files and their jobs: both, or neither. */
async function addFiles(paths: string[], { mill, pool, queue }: WalkOptions): Promise<void> {
  await transaction(pool, async (tx) => {
    const insert = 'insert into pgmill_demo.file (path) select unnest($1::text[]) returning id, path';
    const { rows } = await tx.query<{ id: string; path: string }>(insert, [paths]);
    const jobs = rows.map(({ id, path }): NewJob<Jobs> => {
      return { name: 'demo.file', payload: { file: id, path }, queue, retryBase: 250 };
    });
    for (let next = 0; next < jobs.length; next += jobsPerCall) {
      await mill.addJobs(jobs.slice(next, next + jobsPerCall), { tx });
    }
  });
}
