import type pg from 'pg';

/** A connection on loan from a pool, for one transaction. */
export class Loan {
  readonly client: pg.PoolClient;
  readonly #patience: number;
  #returned = false;

  private constructor(client: pg.PoolClient, patience: number) {
    this.client = client;
    this.#patience = patience;
    // A connection that breaks fails the call that uses it; the event alone must not end the process.
    client.on('error', ignore);
  }

  /** Takes a connection and begins a transaction. An answer that takes longer than `patience` ms never comes. */
  static async begin(pool: pg.Pool, patience: number): Promise<Loan> {
    const loan = new Loan(await pool.connect(), patience);
    try {
      await loan.answered(loan.client.query('begin'));
      return loan;
    } catch (error) {
      loan.cut();
      throw error;
    }
  }

  /** Closes the connection: whatever waits for it fails now, and the transaction is rolled back. */
  cut(): void {
    if (this.#returned) return;
    this.#returned = true;
    this.client.release(true);
  }

  /** Waits for a call, but not for ever. */
  async answered<Value>(call: Promise<Value>): Promise<Value> {
    const late = setTimeout(() => this.cut(), this.#patience);
    try {
      return await call;
    } finally {
      clearTimeout(late);
    }
  }

  /** Rolls back what is not committed, and returns the connection. */
  async giveBack(): Promise<void> {
    if (this.#returned) return;
    try {
      if (this.client.getTransactionStatus() !== 'I') await this.answered(this.client.query('rollback'));
      if (this.#returned) return;
      this.#returned = true;
      this.client.off('error', ignore);
      this.client.release();
    } catch {
      this.cut();
    }
  }
}

function ignore() {}
