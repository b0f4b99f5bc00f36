import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** A wrong command line, or a database that cannot be used: exit code 2. */
export class UsageError extends Error {}

export const help = `Usage: npm start [-- FOLDER]

Works through every file of FOLDER (default: the installed dependencies, node_modules)
with jobs in PostgreSQL: each job hashes, compresses and counts one file.

Without DATABASE_URL it starts a PostgreSQL of its own, with safe settings, and removes it at
the end. With DATABASE_URL it uses that server: it installs pgmill there, makes its two tables
in the schema pgmill_demo anew, and adds its jobs to a queue of its own, pgmill_demo_…; it
touches nothing else, and leaves tables and finished jobs for you to look at.

Symbolic links, devices, pipes and sockets are counted and skipped, and so are other file
systems that are mounted inside FOLDER. A file that vanishes before its job runs is counted
too. A file that cannot be read ends as a failed job.

Ctrl-C stops it: running jobs finish, the others are given back. A second Ctrl-C ends at once.

Exit code
  0    every file was done exactly once
  1    not so: a file or a folder could not be read, or something went wrong
  2    nothing was done: wrong arguments, or no database
  130  stopped before the end: Ctrl-C, SIGTERM, or nobody reads the output any more`;

/** The folder to work through. Undefined: the user asked for help. */
export function readFolder(args: string[]): string | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  if (positionals.length > 1) throw new UsageError('only one FOLDER can be given');
  const [folder = fileURLToPath(new URL('../../node_modules', import.meta.url))] = positionals;
  try {
    if (!statSync(folder).isDirectory()) throw new UsageError(`${folder} is not a folder`);
    accessSync(folder, constants.R_OK | constants.X_OK);
    return realpathSync(path.resolve(folder));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new UsageError(`there is no folder ${folder}`);
    throw new UsageError(`the folder ${folder} cannot be read (${code})`);
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: { help: { type: 'boolean', short: 'h' } } });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
