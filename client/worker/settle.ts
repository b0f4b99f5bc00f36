import type { Held } from './held.js';
import { Lane } from './lane.js';
import { type Ended, type FailedAttempt, Send, type SendOptions, type Snooze } from './send.js';

/** Tells the database how jobs ended: a lane for each kind of ending. Nothing is dropped until the database has answered. */
export class Settle {
  readonly #send: Send;
  readonly #kept: Lane<Held>;
  readonly #forgotten: Lane<Held>;
  readonly #failed: Lane<FailedAttempt>;
  readonly #released: Lane<Ended>;
  readonly #snoozed: Lane<Snooze>;
  readonly #lanes: Pick<Lane<unknown>, 'idle' | 'retry' | 'abandon' | 'waiting'>[];

  constructor(options: SendOptions) {
    const send = new Send(options);
    const failed = (error: unknown) => options.events.emit('error', error);
    // What the database refuses is a failure of the job …
    const fail = (held: Held, error: unknown) => this.fail(held, error);
    // … and where a failure is refused, there is nothing left to do.
    const drop = ({ held }: Ended, error: unknown) => {
      failed(error);
      this.lost(held);
    };
    this.#send = send;
    const common = { failed, answered: options.onAnswer };
    this.#kept = new Lane<Held>({ ...common, send: (batch) => send.complete(batch, true), refused: fail });
    this.#forgotten = new Lane<Held>({ ...common, send: (batch) => send.complete(batch, false), refused: fail });
    this.#snoozed = new Lane<Snooze>({
      ...common,
      send: (batch) => send.snooze(batch),
      refused: ({ held }, error) => fail(held, error),
      largestBatch: 1,
    });
    this.#failed = new Lane<FailedAttempt>({ ...common, send: (batch) => send.fail(batch), refused: drop });
    this.#released = new Lane<Ended>({ ...common, send: (batch) => send.release(batch), refused: drop });
    this.#lanes = [this.#kept, this.#forgotten, this.#failed, this.#released, this.#snoozed];
  }

  complete(held: Held, result: unknown): void {
    held.settled = true;
    held.result = result;
    (held.handler.keep ? this.#kept : this.#forgotten).add(held);
  }

  fail(held: Held, error: unknown, reason: 'error' | 'timeout' = 'error', final = false): void {
    held.settled = true;
    this.#failed.add({ held, error, reason, final });
  }

  release(held: Held): void {
    held.settled = true;
    this.#released.add({ held });
  }

  snooze(held: Held, until: Date): void {
    held.settled = true;
    this.#snoozed.add({ held, until });
  }

  /** The lease is lost: there is nothing to tell. */
  lost(held: Held): void {
    held.settled = true;
    this.#send.lost(held);
  }

  /** The job's own transaction has completed it. */
  completed(held: Held, result: unknown): void {
    held.settled = true;
    held.result = result;
    this.#send.completed(held);
  }

  /** For how many jobs the database has not answered yet. */
  get waiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  }

  /** Resolves when the database has answered for every job. */
  async idle(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.idle()));
  }

  /** The database is back: sends at once what it waits with. */
  retry(): void {
    for (const lane of this.#lanes) lane.retry();
  }

  /** Gives up on what could not be sent; returns how many jobs that is. Their leases run out. */
  abandon(): number {
    return this.#lanes.reduce((left, lane) => left + lane.abandon(), 0);
  }
}
