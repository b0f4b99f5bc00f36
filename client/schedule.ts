import { Admin } from './admin.js';
import { checkCron, parseCron } from './cron-expression.js';
import { InvalidCronError } from './errors.js';
import type {
  CronOwner,
  CronRecord,
  CronSettings,
  CronTime,
  Interval,
  NewCron,
  OtherName,
  OwnName,
  RegisteredCron,
} from './schedule-types.js';
import { sqlFunction, writeRows } from './statement.js';
import type { JobName, TxOption } from './types.js';

const cron = {
  required: { name: 'text' },
  optional: {
    expression: 'text',
    every: 'every',
    jobName: 'text',
    payload: 'json',
    timezone: 'text',
    queue: 'text',
    priority: 'int',
    maxAttempts: 'int',
    timeout: 'duration',
    missed: 'text',
    overlap: 'boolean',
    retryBase: 'duration',
    retryMax: 'duration',
  },
} as const;
const named = { required: { name: 'text' } } as const;

const cronUpsert = sqlFunction<{ value: Date }>({
  name: 'cron_upsert',
  required: cron.required,
  optional: { ...cron.optional, owner: 'text' },
  columns: { value: 'time' },
});
const cronSync = sqlFunction<RegisteredCron>({
  name: 'cron_sync',
  required: { owner: 'text', crons: 'writtenJson' },
  columns: { name: 'plain', nextTick: 'time' },
});
const cronRemove = sqlFunction<{ value: boolean }>({ name: 'cron_remove', ...named, columns: { value: 'plain' } });
const cronPause = sqlFunction<{ value: boolean }>({ name: 'cron_pause', ...named, columns: { value: 'plain' } });
const cronResume = sqlFunction<{ value: Date }>({ name: 'cron_resume', ...named, columns: { value: 'time' } });
const cronNext = sqlFunction<{ value: Date | null }>({
  name: 'cron_next',
  required: { expression: 'text', after: 'time' },
  optional: { timezone: 'text' },
  columns: { value: 'time' },
});
const findCrons = sqlFunction<CronRecord>({
  name: 'find_crons',
  required: {},
  columns: {
    name: 'plain',
    owner: 'plain',
    expression: 'plain',
    every: 'interval',
    timezone: 'plain',
    jobName: 'plain',
    queue: 'plain',
    payload: 'plain',
    priority: 'plain',
    maxAttempts: 'plain',
    timeout: 'duration',
    retryBase: 'duration',
    retryMax: 'duration',
    missed: 'plain',
    overlap: 'plain',
    paused: 'plain',
    nextTick: 'time',
    lastTick: 'time',
    lastCompletedAt: 'time',
    lastJobId: 'id',
    skipped: 'plain',
    error: 'plain',
  },
});

/** The functions of sql/schedule/. Any worker fires what is due, and so does `select pgmill.tick()` from anywhere. */
export class Schedule<Jobs> extends Admin<Jobs> {
  /**
   * Adds a schedule, or changes the one of that name; returns its next tick. Harmless to repeat: what is as given is left
   * alone. Its jobs have its name, or `jobName`. Throws InvalidCronError, InvalidTimezoneError.
   */
  cronUpsert<Name extends JobName<Jobs>>(
    name: Name,
    cron: CronTime & CronSettings & CronOwner & OwnName<Jobs[Name]> & TxOption,
  ): Promise<Date>;
  cronUpsert<Name extends JobName<Jobs>>(
    name: string,
    cron: CronTime & CronSettings & CronOwner & OtherName<Name, Jobs[Name]> & TxOption,
  ): Promise<Date>;
  async cronUpsert(name: string, { tx, ...cron }: { expression?: string | undefined } & TxOption): Promise<Date> {
    if (typeof cron.expression === 'string') checkCron(cron.expression);
    return this.callForValue(cronUpsert, { ...cron, name }, tx);
  }

  /** cronUpsert for an interval, `{ months: 1 }`: the first job at once, then so much after the last tick. */
  addRecurringJob<Name extends JobName<Jobs>>(
    name: Name,
    job: { interval: Interval } & CronSettings & CronOwner & OwnName<Jobs[Name]> & TxOption,
  ): Promise<Date>;
  addRecurringJob<Name extends JobName<Jobs>>(
    name: string,
    job: { interval: Interval } & CronSettings & CronOwner & OtherName<Name, Jobs[Name]> & TxOption,
  ): Promise<Date>;
  async addRecurringJob(name: string, { interval, tx, ...job }: { interval: Interval } & TxOption): Promise<Date> {
    return this.callForValue(cronUpsert, { ...job, every: interval, name }, tx);
  }

  /** Removes a schedule; false when there is none. Jobs that it added stay. */
  async cronRemove(name: string, { tx }: TxOption = {}): Promise<boolean> {
    return this.callForValue(cronRemove, { name }, tx);
  }

  /**
   * Makes the schedules of an owner what the list says, all of it or nothing: adds, changes, and removes those of the
   * owner that it lacks. Call it at each start of an application. Other owners' schedules, and those of cronUpsert and
   * addRecurringJob without an owner, are left alone. Returns the owner's schedules, by name.
   *
   * `owner` is whose list it is, `'registered'` when left out: name the applications when several share a database.
   */
  async registerCronJobs(
    crons: readonly NewCron<Jobs>[],
    { owner = 'registered', tx }: { owner?: string | undefined } & TxOption = {},
  ): Promise<RegisteredCron[]> {
    const list = writeRows(cron, crons, 'crons');
    for (const { name, expression } of crons) if (typeof expression === 'string') checkNamed(name, expression);
    return this.call(cronSync, { owner, crons: list }, tx);
  }

  /** Stops a schedule until cronResume; false when it is paused already. Throws UnknownCronError. */
  async cronPause(name: string, { tx }: TxOption = {}): Promise<boolean> {
    return this.callForValue(cronPause, { name }, tx);
  }

  /** Lets a paused schedule go on; returns its next tick, in the future. Throws UnknownCronError. */
  async cronResume(name: string, { tx }: TxOption = {}): Promise<Date> {
    return this.callForValue(cronResume, { name }, tx);
  }

  /**
   * The next time an expression comes due in a zone (UTC), by the database, which is what decides when jobs run; null
   * when it never does.
   */
  async cronNext(expression: string, after: Date, timezone?: string, { tx }: TxOption = {}): Promise<Date | null> {
    parseCron(expression);
    return this.callForValue(cronNext, { expression, after, timezone }, tx);
  }

  /** The schedules, by name. */
  async findCrons({ tx }: TxOption = {}): Promise<CronRecord[]> {
    return this.call(findCrons, {}, tx);
  }
}

/** Says in which schedule of the list the expression is wrong. */
function checkNamed(name: string, expression: string): void {
  try {
    checkCron(expression);
  } catch (error) {
    if (!(error instanceof InvalidCronError)) throw error;
    throw new InvalidCronError(`Schedule ${name.slice(0, 60)}: ${error.message}`, { hint: error.hint });
  }
}
