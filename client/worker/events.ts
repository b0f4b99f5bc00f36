import type { EventEmitter } from 'node:events';
import type { LeasedJob } from '../types.js';
import { describe } from './failure.js';
import type { Held } from './held.js';

export interface JobFailure {
  /** What the handler threw. */
  error: unknown;
  reason: 'error' | 'timeout';
  /** `scheduled`: there will be another attempt. */
  state: 'scheduled' | 'failed';
  /** The time of the next attempt. */
  runAt: Date | null;
}

/** Events about a job come when the database has confirmed them; only `job:start` comes before the handler runs. */
export interface WorkerEvents {
  'job:start': [job: LeasedJob];
  'job:complete': [job: LeasedJob, result: unknown];
  'job:fail': [job: LeasedJob, failure: JobFailure];
  /** The job was asked to stop, and did. */
  'job:cancel': [job: LeasedJob];
  /** The handler asked to come back later. */
  'job:snooze': [job: LeasedJob, runAt: Date | null];
  /** The job was given back without a run, or without the end of one. */
  'job:release': [job: LeasedJob];
  /** The job is not ours any more; what the handler made of it was not recorded. */
  'lease:lost': [job: LeasedJob];
  /** There was nothing to do. */
  idle: [];
  /** Something went wrong that is no job's fault. The worker goes on. */
  error: [error: unknown];
}

/** Tells what happened; never throws. */
export interface Emitter {
  emit<Name extends keyof WorkerEvents>(name: Name, ...args: WorkerEvents[Name]): void;
  /** An event about a job. Its object is made only when somebody listens. */
  tell<Name extends JobEvent>(name: Name, held: Held, ...more: Rest<WorkerEvents[Name]>): void;
}

type JobEvent = Exclude<keyof WorkerEvents, 'idle' | 'error'>;
type Rest<Args extends unknown[]> = Args extends [LeasedJob, ...infer More] ? More : never;

/** How many jobs ended how, or were claimed. */
export interface RunCounts {
  claimed: number;
  completed: number;
  /** For good. */
  failed: number;
  /** Failed, with attempts left. */
  retried: number;
  cancelled: number;
  snoozed: number;
  released: number;
  /** The lease was lost. */
  lost: number;
}

export function noCounts(): RunCounts {
  return { claimed: 0, completed: 0, failed: 0, retried: 0, cancelled: 0, snoozed: 0, released: 0, lost: 0 };
}

/** An error that nobody listens for, or that a listener throws, is logged: it must not end the process, or our loops. */
export function safeEmitter(emitter: EventEmitter<WorkerEvents>, logger: Pick<Console, 'error'>): Emitter {
  const log = logOnce(logger);
  const emit = (name: string, ...args: unknown[]): void => {
    try {
      (emitter as EventEmitter).emit(name, ...args);
    } catch (error) {
      log(error);
    }
  };
  return {
    emit(name, ...args) {
      if (emitter.listenerCount(name) > 0) emit(name, ...args);
      else if (name === 'error') log(args[0]);
    },
    tell(name, held, ...more) {
      if (emitter.listenerCount(name) > 0) emit(name, held.job, ...more);
    },
  };
}

/** Logs an error, unless the same was logged within the last minute. */
function logOnce(logger: Pick<Console, 'error'>): (error: unknown) => void {
  const last = new Map<string, number>();
  return (error) => {
    const text = String(error);
    const now = performance.now();
    if (now - (last.get(text) ?? Number.NEGATIVE_INFINITY) < 60_000) return;
    if (last.size >= 100) last.clear();
    last.set(text, now);
    logger.error(`pgmill: ${describe(error)}`);
  };
}
