// A database with pgmill for each test file. `npm test` starts one server for all of them (test/run.ts); a test file
// run alone starts one for itself.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { installScript } from '../../sql/generate-install.js';
import { fastSettings, type Postgres, startPostgres } from './start.js';

export interface TestDatabase {
  /** Connection string of the superuser. */
  url: string;
  pool: pg.Pool;
  /** Runs one statement and returns its rows. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read columns by name
  sql<Row extends pg.QueryResultRow = any>(text: string, params?: unknown[]): Promise<Row[]>;
  /** A further client, connected, ended with the test. */
  client(): Promise<pg.Client>;
}

/** What a test server is: the administrator's connection string, and the database that has pgmill. */
export interface TestServer {
  url: string;
  template: string;
  stop(): Promise<void>;
}

interface Teardown {
  teardown(fn: () => unknown): unknown;
}

/** A time zone with an odd offset and summer time, so that code which forgets to say UTC fails. */
const testSettings = { ...fastSettings, timezone: 'Australia/Adelaide' };

/** A new database for this test, dropped when it ends. With `blank`, one without pgmill. */
export async function testDatabase(t: Teardown, { blank = false } = {}): Promise<TestDatabase> {
  const server = await testServer();
  const name = `pgmill_test_${randomBytes(6).toString('hex')}`;
  await administrate(server.url, `create database ${name} template ${blank ? 'template0' : server.template}`);
  const url = withDatabase(server.url, name);
  const pool = new pg.Pool({ connectionString: url });
  pool.on('error', () => {}); // the server was restarted, or the database dropped
  const clients: pg.Client[] = [];
  t.teardown(async () => {
    await Promise.allSettled([pool.end(), ...clients.map((client) => client.end())]);
    await administrate(server.url, `drop database if exists ${name} with (force)`);
    await server.stop();
  });
  return {
    url,
    pool,
    async sql(text, params) {
      return (await pool.query(text, params)).rows;
    },
    async client() {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => {});
      await client.connect();
      clients.push(client);
      return client;
    },
  };
}

/** The server of this `npm test`, or one of this file's own. */
async function testServer(): Promise<TestServer> {
  const url = process.env['PGMILL_TEST_SERVER'];
  const template = process.env['PGMILL_TEST_TEMPLATE'];
  if (url && template) return { url, template, stop: async () => {} };
  own ??= startTestServer();
  users++;
  const { stop, ...server } = await own;
  return {
    ...server,
    async stop() {
      if (--users > 0) return;
      own = undefined;
      await stop();
    },
  };
}

let own: Promise<TestServer> | undefined;
let users = 0;

/** TEST_DATABASE_URL's server or a new one, with the template database. */
export async function startTestServer(): Promise<TestServer> {
  const given = process.env['TEST_DATABASE_URL'];
  const postgres: Postgres | undefined = given ? undefined : await startPostgres({ settings: testSettings });
  const url = given ?? postgres?.connectionString ?? '';
  const template = `pgmill_template_${randomBytes(6).toString('hex')}`;
  const stop = async () => {
    if (postgres) await postgres.stop();
    else await administrate(url, `drop database if exists ${template} with (force)`);
  };
  try {
    await administrate(url, `create database ${template} template template0`);
    await install(withDatabase(url, template));
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, template, stop };
}

/** Installs pgmill from migrations/ and sql/ as they are now (sql/install.sql may be older while one is writing). */
export async function install(url: string): Promise<void> {
  const script = installScript({ current: true });
  try {
    await administrate(url, script);
  } catch (error) {
    throw error instanceof pg.DatabaseError ? withPlace(error, script) : error;
  }
}

/** Says in which file of sql/ the statement was that failed. */
function withPlace(error: pg.DatabaseError, script: string): Error {
  const before = error.position ? script.slice(0, Number(error.position)) : '';
  const file = before.lastIndexOf('-- file: ');
  const place = file < 0 ? '' : `${before.slice(file + 9).split('\n')[0]}: `;
  const more = [error.detail, error.hint, error.where].filter(Boolean).join('\n  ');
  return new Error(`Installing pgmill failed: ${place}${error.message}${more && `\n  ${more}`}`);
}

async function administrate(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
