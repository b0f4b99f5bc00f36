import pg from 'pg';
import { clientConfig, Link } from './link.js';
import { Loan } from './loan.js';

export interface ConnectionsOptions {
  pool: pg.Pool;
  /** How long a lease lasts, in milliseconds. */
  lease: number;
  /** So many transactions at a time. */
  transactions: number;
  /** One of them was opened, the first time or again. */
  onOpen: () => void;
  /** Called when an established connection breaks. */
  failed: (error: unknown) => void;
}

/** The worker's own connections, outside of the pool, so that handlers that use up the pool cannot starve it. */
export class Connections {
  /**
   * Heartbeats and all settling go to the first, claims to the second. So a claim never waits until the disk has the endings of
   * the jobs before. A job meets them in order all the same: what is sent about it to the first is sent after the claim has
   * been answered, and so committed.
   */
  readonly settling: Link;
  readonly claiming: Link;
  /** A connection for each transactional job that runs; made when the first one does. */
  readonly #transactions: pg.Pool;
  /** An answer that takes longer never comes, in milliseconds: the connection is dead. */
  readonly #patience: number;
  /** Short against the lease: heartbeats wait meanwhile. */
  readonly #lockTimeout: string;
  readonly #failed: (error: unknown) => void;
  #ownsSession = false;

  constructor({ pool, lease, transactions, onOpen, failed }: ConnectionsOptions) {
    this.#patience = Math.max(lease, 10_000);
    this.#lockTimeout = `set lock_timeout = ${Math.min(Math.ceil(lease / 10), 2000)}`;
    this.#failed = failed;
    const newLink = () =>
      new Link({
        pool,
        pipeline: true,
        answerWithin: this.#patience,
        setUp: async (client) => {
          if (this.#ownsSession) await client.query(this.#lockTimeout);
          onOpen();
        },
        onLost: failed,
      });
    this.settling = newLink();
    this.claiming = newLink();
    this.#transactions = new pg.Pool({ ...clientConfig(pool), max: transactions });
    this.#transactions.on('error', () => {}); // an idle connection broke, and the pool has dropped it
  }

  /** Begins a transaction on a connection that nobody else has. */
  begin(): Promise<Loan> {
    return Loan.begin(this.#transactions, this.#patience);
  }

  /** The sessions are ours, not a pooler's: a row that somebody holds in a transaction must not hold up all other jobs. */
  async ownsSession(): Promise<void> {
    this.#ownsSession = true;
    const both = [this.settling, this.claiming].map((link) => link.query(this.#lockTimeout));
    await Promise.all(both).catch(this.#failed);
  }

  async close(): Promise<void> {
    await Promise.all([this.settling.close(), this.claiming.close(), this.#transactions.end()]);
  }
}
