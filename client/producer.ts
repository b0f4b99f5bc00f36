import { Connection } from './query.js';
import { sqlFunction, writeRows } from './statement.js';
import type { AnyJobs, JobName, TxOption } from './types.js';

export interface JobSettings {
  /** Workers choose by it. @default 'default' */
  queue?: string | undefined;
  /** A lower number runs first. @default 5 */
  priority?: number | undefined;
  /** Not before then; a time in the past is now. @default now, by the database's clock */
  runAt?: Date | undefined;
  /** Attempts in all, 1 to 1000; 1 means no retry. @default 3 */
  maxAttempts?: number | undefined;
  /** How long the handler may take, in milliseconds. @default the handler's or the worker's limit */
  timeout?: number | undefined;
  /** The first retry comes after twice this, each further one after double the last; milliseconds. @default 60000 */
  retryBase?: number | undefined;
  /** But never later than this, in milliseconds. @default 86400000, a day */
  retryMax?: number | undefined;
  /** At most one live job of the queue has it. @default no such limit */
  uniqueKey?: string | undefined;
  /**
   * When a live job has the key: leave that job alone, rewrite it unless it is running, or throw DuplicateKeyError.
   * @default 'skip'
   */
  onDuplicate?: 'skip' | 'replace' | 'error' | undefined;
}

export interface AddJobOptions extends JobSettings, TxOption {}

/** The payload may be left out where its type allows undefined or an empty object. */
type MayBeLeftOut<Payload> = Record<never, never> extends Payload ? true : undefined extends Payload ? true : false;

type PayloadArgument<Payload> =
  MayBeLeftOut<Payload> extends true
    ? [payload?: Payload, options?: AddJobOptions]
    : [payload: Payload, options?: AddJobOptions];

export type PayloadProperty<Payload> =
  MayBeLeftOut<Payload> extends true ? { payload?: Payload } : { payload: Payload };

/** A job for addJobs. The payload `null` becomes `{}` there, as if it had been left out; addJob stores it as it is. */
export type NewJob<Jobs = AnyJobs> = {
  [Name in JobName<Jobs>]: { name: Name } & PayloadProperty<Jobs[Name]> & JobSettings;
}[JobName<Jobs>];

export interface AddedJob {
  id: string;
  /** False: a live job holds the unique key, and the id is that job's. */
  created: boolean;
}

const job = {
  required: { name: 'text' },
  optional: {
    payload: 'json',
    queue: 'text',
    priority: 'int',
    runAt: 'time',
    maxAttempts: 'int',
    timeout: 'duration',
    retryBase: 'duration',
    retryMax: 'duration',
    uniqueKey: 'text',
    onDuplicate: 'text',
  },
} as const;

const addJob = sqlFunction<{ value: string }>({ name: 'add_job', ...job, columns: { value: 'id' } });

const addJobs = sqlFunction<{ id: string[] | null; created: string[] }>({
  name: 'add_jobs',
  required: { jobs: 'writtenJson' },
  columns: { id: 'list', created: 'list' },
});

/** The functions of sql/producer/. */
export class Producer<Jobs> extends Connection {
  /**
   * Adds a job; returns its id. With a `uniqueKey` that is held, the id of the job that holds it.
   *
   * Workers see the job when the transaction commits: `addJob('send-mail', { to }, { tx })` in a transaction of yours
   * adds it exactly when what you wrote there is committed.
   */
  async addJob<Name extends JobName<Jobs>>(
    name: Name,
    ...[payload, options]: PayloadArgument<Jobs[Name]>
  ): Promise<string> {
    const { tx, ...settings } = options ?? {};
    return this.callForValue(addJob, { ...settings, name, payload }, tx);
  }

  /**
   * Adds many jobs in one call, all or none; returns a row for each, in their order. The payload `null` is stored as
   * `{}`: in a list, null is what was left out.
   */
  async addJobs(jobs: readonly NewJob<Jobs>[], { tx }: TxOption = {}): Promise<AddedJob[]> {
    const [added] = await this.call(addJobs, { jobs: writeRows(job, jobs, 'jobs') }, tx);
    return added?.id?.map((id, index) => ({ id, created: added.created[index] === 'true' })) ?? [];
  }
}
