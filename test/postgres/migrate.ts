// graphile-migrate on a throw-away server, so that authoring needs no set-up.
//
//   npm run migrate:commit      migrations/current.sql becomes the next committed migration
//   npm run migrate:uncommit    takes the last committed one back into current.sql
//   npm run migrate:watch       installs migrations/ and sql/ into a fresh database at each change
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { install } from './database.js';
import { fastSettings, type Postgres, startPostgres } from './start.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [verb = '', ...rest] = process.argv.slice(2);

const server = await startPostgres({ settings: fastSettings });
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
try {
  if (verb === 'watch') await watchFiles();
  else {
    await fresh(server);
    if (verb === 'uncommit') await graphileMigrate('migrate');
    process.exitCode = await graphileMigrate(verb, ...rest);
  }
} finally {
  await server.stop();
}

async function graphileMigrate(...args: string[]): Promise<number> {
  const cli = createRequire(import.meta.url).resolve('graphile-migrate/dist/cli.js');
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      DATABASE_URL: server.url('pgmill'),
      SHADOW_DATABASE_URL: server.url('pgmill_shadow'),
      ROOT_DATABASE_URL: server.connectionString,
    },
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

async function watchFiles(): Promise<void> {
  let changed: (() => void) | undefined;
  const onChange = (_event: string, file: string | null) => {
    if (file?.endsWith('.sql') && path.basename(file) !== 'install.sql') changed?.();
  };
  for (const folder of ['migrations', 'sql']) watch(path.join(root, folder), { recursive: true }, onChange);
  console.log(`The database is ${server.url('pgmill')}`);
  for (;;) {
    const change = new Promise<void>((resolve) => {
      changed = resolve;
    });
    await fresh(server);
    await install(server.url('pgmill')).then(
      () => console.log(`${time()} installed`),
      (error: Error) => console.log(`${time()} ${error.message}`),
    );
    await change;
    await sleep(100); // an editor may write in several steps
  }
}

/** An empty database `pgmill`. */
async function fresh(postgres: Postgres): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.connectionString });
  await client.connect();
  await client.query('drop database if exists pgmill with (force)');
  await client.query('create database pgmill');
  await client.end();
}

function time(): string {
  return new Date().toTimeString().slice(0, 8);
}
