import { realpathSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../test/postgres/start.js';
import { UsageError } from './options.js';

export interface Database {
  pool: pg.Pool;
  /** For people. */
  description: string;
  /** Where our own server keeps its files, which the demo does not walk through; undefined: the server is the user's. */
  folder: string | undefined;
  close(): Promise<void>;
}

/** The server of DATABASE_URL, or one of our own with PostgreSQL's own, safe, settings. */
export async function openDatabase(maxConnections: number): Promise<Database> {
  const url = process.env['DATABASE_URL'];
  const server = url ? undefined : await startPostgres();
  const connectionString = server?.connectionString ?? url;
  const pool = new pg.Pool({ connectionString, max: maxConnections });
  const holder = new pg.Client({ connectionString });
  // A connection that breaks fails the call that uses it; the event alone must not end the process.
  const ignore = () => {};
  pool.on('error', ignore).on('connect', (client) => client.on('error', ignore));
  holder.on('error', ignore);

  const close = async () => {
    await Promise.all([pool.end(), holder.end()]);
    await server?.stop();
  };
  try {
    await holder.connect();
    const { rows } = await holder.query(`
      select current_setting('server_version') as version, current_setting('fsync') as fsync,
             current_database() as name, pg_try_advisory_lock(hashtext('pgmill_demo')) as alone`);
    const { version, fsync, name, alone } = rows[0];
    if (!alone) throw new UsageError('another demo is at work in this database');
    const where = server ? 'temporary' : `database "${name}" of DATABASE_URL`;
    const description = `PostgreSQL ${version.split(' ')[0]}, ${where}, fsync ${fsync}`;
    const folder = server && realpathSync(path.dirname(server.dataDirectory));
    return { pool, description, folder, close };
  } catch (error) {
    await close();
    throw error instanceof UsageError ? error : new UsageError(`the database cannot be used: ${reason(error)}`);
  }
}

/** Makes the demo's tables anew. */
export async function makeTables(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create schema if not exists pgmill_demo;
    drop table if exists pgmill_demo.file, pgmill_demo.result;

    create table pgmill_demo.file (
      id   bigint generated always as identity primary key,
      path text not null
    );

    -- What the jobs did. No unique key: a file that is done twice is to be seen.
    create table pgmill_demo.result (
      file       bigint not null,
      job        bigint not null,
      attempt    int    not null,
      bytes      bigint,  -- null, as are the others: the file had vanished
      lines      bigint,
      gzip_bytes bigint,
      sha256     text
    );`);
}

/** Does the work in one transaction: all of it is committed, or nothing. */
export async function transaction<Result>(
  pool: pg.Pool,
  work: (tx: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

/** A refused connection to several addresses has its message inside. */
function reason(error: unknown): string {
  const { message, errors, code } = error as Error & { errors?: Error[]; code?: string };
  return message || errors?.[0]?.message || code || String(error);
}
