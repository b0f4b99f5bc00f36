import pg from 'pg';
import { convertError } from '../errors.js';
import { milliseconds } from '../rows.js';
import { writeCall } from '../statement.js';
import { getJobs } from '../worker-calls.js';
import { Held } from './held.js';
import type { Link } from './link.js';
import type { Settings } from './settings.js';

/**
 * A job as the database sent it. Most handlers never look at most of it, so it is read when they do: with thousands of
 * jobs a second, making an object of each costs more than running it (measured: 4.9 µs of Node's CPU a job, so 2.3).
 */
export type Row = [
  id: string,
  token: string,
  name: string,
  payload: string,
  attempt: string,
  timeout: string | null,
  cron: string | null,
  /** These three are null where they are as usual. */
  queue: string | null,
  priority: string | null,
  maxAttempts: string | null,
  runAt: string,
  /** null: at run_at, as nearly every job. */
  createdAt: string | null,
  /** Of the first job of a claim; the others have the same. */
  leaseUntil: string | null,
];

/** What most jobs have need not be sent and read with each. */
export const usual = { queue: 'default', priority: 5, maxAttempts: 3 };

const columns = `id, token, name, payload, attempt, ${milliseconds('timeout')}, cron,
  nullif(queue, '${usual.queue}'), nullif(priority, ${usual.priority}), nullif(max_attempts, ${usual.maxAttempts}),
  ${milliseconds('run_at')}, case when created_at <> run_at then ${milliseconds('created_at')} end,
  case when ordinality = 1 then ${milliseconds('lease_until')} end`;

/**
 * Makes the claim without waiting until the disk has it. If the server crashes within the next moments the claim may be
 * undone, and the job, still ready, runs again, while what the first run has to say is refused, for its token is
 * unknown. What was settled is never undone, nor is its claim: the log is written in order. Set for this one
 * transaction, which also works where a pooler shares the session.
 */
const unflushed = `set_config('synchronous_commit', 'off', true)`;

/** What the jobs of one claim share. */
export interface Claim {
  /** By performance.now(). */
  at: number;
  leaseUntil: number;
  /** The pool's own parser of jsonb. */
  parseJson: (json: string) => unknown;
}

const jsonb = pg.types.builtins.JSONB;

/** Claims jobs: get_jobs, written once, and answered with no more than a worker needs. */
export class Claims {
  readonly #link: Link;
  readonly #settings: Settings;
  #query: { text: string; values: unknown[] } | undefined;

  constructor(link: Link, settings: Settings) {
    this.#link = link;
    this.#settings = settings;
  }

  async take(maxJobs: number): Promise<Held[]> {
    this.#query ??= this.#write();
    const { text, values } = this.#query;
    const rows = await this.#link.rows<Row>(text, [Math.min(maxJobs, 10_000), ...values]).catch((error) => {
      throw convertError(error);
    });
    const claim = { at: performance.now(), leaseUntil: Number(rows[0]?.[12]), parseJson: this.#link.parser(jsonb) };
    return rows.map((row) => new Held(row, claim, this.#settings.handlerOf(row[2])));
  }

  #write(): { text: string; values: unknown[] } {
    const { workerId: worker, filter, lease, unordered } = this.#settings;
    // max_jobs is the first argument, so its value, which is another one each time, can be put before the others.
    const { call, values } = writeCall(getJobs, { maxJobs: 1, worker, ...filter, lease, unordered });
    return { text: `select ${columns} from ${call} with ordinality, ${unflushed}`, values: values.slice(1) };
  }
}
