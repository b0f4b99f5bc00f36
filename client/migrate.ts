import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { convertError } from './errors.js';

export interface MigrateOptions {
  /**
   * The database, as `postgres://user@host/name`.
   * @default PGHOST, PGUSER and the other variables of the environment
   */
  connectionString?: string | undefined;
  /**
   * A pool of yours, instead of a connection string.
   * @default a connection of its own
   */
  pool?: pg.Pool | undefined;
}

export interface MigrateResult {
  /** The version that is installed now. */
  version: string;
  /** False: everything was there already. */
  changed: boolean;
  /** The migrations that this call applied. */
  applied: string[];
  /** What the database warned of: for instance a role that this user may not create. */
  warnings: string[];
}

/** sql/install.sql, and what its head says is in it. */
interface Script {
  text: string;
  version: string;
  functions: string;
  migrations: string;
}

/** Where the client's folder is, `client` or `dist`, `sql` is beside it. */
const scriptFile = new URL('../sql/install.sql', import.meta.url);

/**
 * Installs pgmill in a database, or brings it up to date. Safe to repeat, and in many processes at once.
 *
 * Throws NewerSchemaError when the database has a newer pgmill, ChangedHistoryError when a migration was changed.
 */
export async function migrate({ connectionString, pool }: MigrateOptions = {}): Promise<MigrateResult> {
  const script = await readScript();
  if (pool) return install(script, pool);

  const ownPool = new pg.Pool({ ...(connectionString && { connectionString }), max: 1 });
  ownPool.on('error', () => {});
  try {
    return await install(script, ownPool);
  } finally {
    await ownPool.end();
  }
}

async function install(script: Script, pool: pg.Pool): Promise<MigrateResult> {
  const client = await pool.connect();
  const warnings: string[] = [];
  const onNotice = ({ message }: { message?: string | undefined }) => warnings.push(message ?? '');
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError).on('notice', onNotice);
  try {
    const { version } = script;
    if (await isCurrent(client, script)) return { version, changed: false, applied: [], warnings };

    const before = await migrationNames(client);
    const changed = await run(client, script.text);
    const applied = changed ? (await migrationNames(client)).filter((name) => !before.includes(name)) : [];
    return { version, changed, applied, warnings };
  } catch (error) {
    await client.query('rollback').catch(onError);
    throw convertError(error);
  } finally {
    client.off('error', onError).off('notice', onNotice).release(broken);
  }
}

/** Runs the script, one transaction. Its last insert writes a row only when something changed. */
async function run(client: pg.PoolClient, text: string): Promise<boolean> {
  const results = (await client.query(text)) as unknown as pg.QueryResult[];
  return results.findLast((result) => result.command === 'INSERT')?.rowCount === 1;
}

/** Whether the script has nothing to do: the same version, and each of the roles that exist may use the schema. */
async function isCurrent(client: pg.PoolClient, script: Script): Promise<boolean> {
  if (!(await isInstalled(client))) return false;
  const { rows } = await client.query(
    `select i.version = $1 and i.sql_hash = $2
            and $3 = coalesce((select m.name || ' ' || m.hash from pgmill.migration m order by m.name desc limit 1), 'none')
            and not exists (
              select from pg_roles r
              where r.rolname in ('pgmill_producer', 'pgmill_worker', 'pgmill_observer', 'pgmill_admin')
                and not has_schema_privilege(r.rolname, 'pgmill', 'usage')) as current
     from pgmill.installed i`,
    [script.version, script.functions, script.migrations],
  );
  return rows[0]?.current === true;
}

async function migrationNames(client: pg.PoolClient): Promise<string[]> {
  if (!(await isInstalled(client))) return [];
  const { rows } = await client.query('select name from pgmill.migration order by name');
  return rows.map(({ name }) => name);
}

async function isInstalled(client: pg.PoolClient): Promise<boolean> {
  const { rows } = await client.query(`select to_regclass('pgmill.installed') is not null as installed`);
  return rows[0].installed;
}

async function readScript(): Promise<Script> {
  const text = await readFile(scriptFile, 'utf8');
  const head = (label: string) => new RegExp(`^-- ${label}: (.+)$`, 'm').exec(text)?.[1] ?? '';
  return { text, version: head('Version'), functions: head('Functions'), migrations: head('Migrations') };
}
