import pg from 'pg';
import { isStatementLost, statementName } from '../statement.js';
import type { Tx } from '../types.js';

export interface LinkOptions {
  /** What the worker's own connections are made like. */
  pool: pg.Pool;
  /** Sends calls without waiting for the answers to those before. @default false */
  pipeline?: boolean;
  /** Made ready by this before anything else is sent. */
  setUp?: (client: pg.Client) => Promise<unknown>;
  /** An answer that takes longer means that the connection is dead; milliseconds. @default none */
  answerWithin?: number;
  /** Called when an established connection breaks, not when it is closed. */
  onLost?: (error: unknown) => void;
}

/**
 * A connection of the worker's own, outside the pool, so that handlers that use up the pool cannot starve the worker.
 * When it breaks the next call opens another. Every method of PgMill takes it as `tx`.
 */
export class Link implements Tx {
  readonly #options: LinkOptions;
  #client: pg.Client | undefined;
  #connecting: pg.Client | undefined;
  #opening: Promise<pg.Client> | undefined;
  #closed = false;
  #prepared = true;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  query(text: string, values: unknown[] = []): Promise<{ rows: unknown[] }> {
    return this.#send({ text, values });
  }

  /** The same, with each row as an array of what the server sent: text, or null. */
  async rows<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return (await this.#send({ text, values, rowMode: 'array', types: unread })).rows as Row[];
  }

  /** How the pool reads values of that type. */
  parser(oid: number): (text: string) => unknown {
    const types = (this.#options.pool.options as pg.PoolConfig).types ?? pg.types;
    return types.getTypeParser(oid, 'text');
  }

  /** The connection, opened when there is none. */
  open(): Promise<pg.Client> {
    if (this.#client) return Promise.resolve(this.#client);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Ends the connection, without waiting long for anything. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#connecting) cut(this.#connecting);
    const client = this.#client;
    this.#client = undefined;
    if (client) await end(client);
  }

  /** The statement is prepared under a name, until the server turns out to lose those (PgBouncer before 1.21). */
  async #send(query: pg.QueryConfig & { rowMode?: 'array' }): Promise<{ rows: unknown[] }> {
    const client = this.#client ?? (await this.open());
    if (!this.#prepared) return client.query(query);
    try {
      return await client.query({ ...query, name: statementName(query.text) });
    } catch (error) {
      if (!isStatementLost(error)) throw error;
      this.#prepared = false;
      return client.query(query);
    }
  }

  async #open(): Promise<pg.Client> {
    if (this.#closed) throw new Error('The worker has stopped.');
    const { pool, pipeline = false, answerWithin, setUp, onLost } = this.#options;
    const client = new pg.Client({ ...clientConfig(pool), pipeline, query_timeout: answerWithin });
    const drop = (error: unknown) => {
      if (this.#client !== client) return;
      this.#client = undefined;
      onLost?.(error);
      void end(client);
    };
    client.on('error', drop);
    client.on('end', () => drop(new Error('The connection to the database was closed.')));
    this.#connecting = client;
    try {
      await client.connect();
      await (pool.options as pg.PoolConfig).onConnect?.(client);
      await setUp?.(client);
      if (this.#closed) throw new Error('The worker has stopped.');
    } catch (error) {
      cut(client);
      throw error;
    } finally {
      this.#connecting = undefined;
    }
    this.#client = client;
    return client;
  }
}

const unread = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

/** The pool's own settings, so that a connection is made as the pool would make it. */
export function clientConfig(pool: pg.Pool): pg.PoolConfig {
  const options = pool.options as pg.PoolConfig;
  return {
    ...options,
    // pg hides the password from being spread.
    ...(options.password !== undefined && { password: options.password }),
    connectionTimeoutMillis: options.connectionTimeoutMillis || 10_000,
    keepAlive: true,
  };
}

/** Ends a connection after the calls under way; cuts it when they take long. */
async function end(client: pg.Client): Promise<void> {
  const late = setTimeout(() => cut(client), 500);
  await client.end().catch(() => {});
  clearTimeout(late);
}

/** Closes the socket: whatever waits for this connection fails now. pg has no call for that. */
function cut(client: pg.Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
