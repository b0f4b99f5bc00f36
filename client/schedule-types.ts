import type { PayloadProperty } from './producer.js';
import type { AnyJobs, JobName } from './types.js';

/** Whole numbers, 0 or more, a second at least in all. Years, months and days go by the calendar of the time zone. */
export interface Interval {
  /** @default 0 */
  years?: number | undefined;
  /** @default 0 */
  months?: number | undefined;
  /** @default 0 */
  days?: number | undefined;
  /** @default 0 */
  hours?: number | undefined;
  /** @default 0 */
  minutes?: number | undefined;
  /** @default 0 */
  seconds?: number | undefined;
}

/** When: by a cron expression, or so often. */
export type CronTime =
  | {
      /** Minute, hour, day of month, month, day of week, with an optional second in front; or `@daily` and the like. */
      expression: string;
      every?: undefined;
    }
  | {
      /**
       * The first job at once, then so much after the last tick, in milliseconds or as an Interval; a second to 10 years.
       */
      every: number | Interval;
      expression?: undefined;
    };

export interface CronSettings {
  /** The zone of the expression, or of an Interval's days and months; a name such as Europe/Amsterdam. @default 'UTC' */
  timezone?: string | undefined;
  /** The jobs' queue. @default 'default' */
  queue?: string | undefined;
  /** A lower number runs first. @default 4 */
  priority?: number | undefined;
  /** Attempts of each job in all, 1 to 1000; 1 means no retry. @default 3 */
  maxAttempts?: number | undefined;
  /** How long the handler may take, in milliseconds. @default the handler's or the worker's limit */
  timeout?: number | undefined;
  /** The first retry comes after twice this, each further one after double the last; milliseconds. @default 60000 */
  retryBase?: number | undefined;
  /** But never later than this, in milliseconds. @default 86400000, a day */
  retryMax?: number | undefined;
  /**
   * Ticks that nobody fired in time: one job for all of them, none when more than a minute ago, or one each (after 1000,
   * one for the rest).
   * @default 'once'
   */
  missed?: 'once' | 'skip' | 'all' | undefined;
  /**
   * True: a job at each tick, also while an earlier one has not ended. False: that tick is passed over (with missed `all`,
   * it waits).
   * @default false
   */
  overlap?: boolean | undefined;
}

export interface CronOwner {
  /** Who keeps the schedule: only the same owner may change it. @default 'default' */
  owner?: string | undefined;
}

/** What a schedule adds: jobs of its own name, or of `jobName`. */
export type OwnName<Payload> = PayloadProperty<Payload> & { jobName?: undefined };
export type OtherName<Name, Payload> = PayloadProperty<Payload> & { jobName: Name };

/** A schedule for registerCronJobs. The payload `null` becomes `{}` there, as if it had been left out. */
export type NewCron<Jobs = AnyJobs> = {
  [Name in JobName<Jobs>]: CronTime &
    CronSettings &
    (({ name: Name } & OwnName<Jobs[Name]>) | ({ name: string } & OtherName<Name, Jobs[Name]>));
}[JobName<Jobs>];

export interface RegisteredCron {
  name: string;
  nextTick: Date;
}

/** A schedule as it is stored. */
export interface CronRecord {
  name: string;
  owner: string;
  expression: string | null;
  /** The units that are not 0. */
  every: Interval | null;
  timezone: string;
  jobName: string;
  queue: string;
  payload: unknown;
  priority: number;
  maxAttempts: number;
  timeout: number | null;
  retryBase: number;
  retryMax: number;
  missed: 'once' | 'skip' | 'all';
  overlap: boolean;
  paused: boolean;
  /** Null while it is paused. */
  nextTick: Date | null;
  /** The last one that was fired or passed over. */
  lastTick: Date | null;
  /** When a job of it last completed. */
  lastCompletedAt: Date | null;
  lastJobId: string | null;
  /** Why the last tick has no job; null when it has one. */
  skipped: 'overlap' | 'missed' | null;
  /** Why it could not be fired; it is tried again every ten seconds. */
  error: string | null;
}
