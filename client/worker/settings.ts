import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { InvalidArgumentError } from '../errors.js';
import type { TransactionContext } from './context.js';
import type { HandlerEntry } from './handlers.js';
import type { CommonOptions, RunOnceLimits, WorkerTimes } from './options.js';

/** A handler with all its settings. */
export interface JobHandler {
  run: (payload: unknown, ctx: TransactionContext) => unknown;
  timeout: number;
  retry: { base: number; max: number } | undefined;
  keep: boolean;
  transactional: boolean;
}

export interface Filter {
  queues: string[];
  names?: string[];
  exceptNames?: string[];
}

/** The options with their defaults, checked. */
export interface Settings extends Required<Omit<CommonOptions & WorkerTimes & RunOnceLimits, 'prefetch' | 'queues'>> {
  prefetch: number | 'auto';
  /** What to ask the database for. */
  filter: Filter;
  handlerOf: (name: string) => JobHandler;
}

export type AnyOptions = CommonOptions &
  WorkerTimes &
  RunOnceLimits & {
    names?: readonly string[] | undefined;
    exceptNames?: readonly string[] | undefined;
    handlers: object;
  };

const second = 1000;
const day = 86_400 * second;
const year = 365 * day;

/** What both take; worker() and runOnce() add their own. */
const common =
  'handlers names exceptNames concurrency queues timeout lease keep unordered prefetch stopTimeout workerId logger';

/** Reads the options of mill.worker(), or with `known` 'limit deadline' those of mill.runOnce(). */
export function readSettings(options: AnyOptions, known = 'pollInterval listen'): Settings {
  checkNames(options, `${common} ${known}`);
  const { timeout = 30 * second, lease = 30 * second, keep = true, queues = ['default'], prefetch, deadline } = options;
  const { workerId = `${hostname().slice(0, 200)}:${process.pid}:${randomBytes(4).toString('hex')}` } = options;
  const handlers = readHandlers(options.handlers, { timeout: number('timeout', timeout, 1, year), keep });
  return {
    concurrency: whole('concurrency', options.concurrency ?? 10, 1, 5000),
    prefetch: prefetch === undefined ? 'auto' : whole('prefetch', prefetch, 0, 5000),
    lease: number('lease', lease, 100, 30 * day),
    timeout,
    keep,
    unordered: options.unordered ?? false,
    listen: options.listen ?? true,
    pollInterval: number('pollInterval', options.pollInterval ?? 1500, 1, day),
    stopTimeout: number('stopTimeout', options.stopTimeout ?? 30 * second, 0, day),
    limit: whole('limit', options.limit ?? 1000, 1, Number.MAX_SAFE_INTEGER),
    deadline: deadline === undefined ? Number.POSITIVE_INFINITY : number('deadline', deadline, 0, year),
    workerId: words('workerId', [workerId])[0] as string,
    logger: options.logger ?? console,
    filter: { queues: words('queues', queues), ...nameFilter(options, handlers) },
    handlerOf: (name) => (handlers.get(name) ?? handlers.get('*')) as JobHandler,
  };
}

function readHandlers(handlers: object, defaults: Pick<JobHandler, 'timeout' | 'keep'>): Map<string, JobHandler> {
  const all = new Map<string, JobHandler>();
  for (const [name, entry] of Object.entries(handlers ?? {}) as [string, HandlerEntry<unknown> | undefined][]) {
    if (entry === undefined) continue;
    const one = typeof entry === 'function' ? { handler: entry } : entry;
    if (typeof one?.handler !== 'function') {
      throw new InvalidArgumentError(`The handler of "${name}" must be a function.`);
    }
    checkNames(one, 'handler timeout retry keep transactional');
    const { timeout = defaults.timeout, keep = defaults.keep, transactional = false, retry } = one;
    all.set(name, {
      run: one.handler as JobHandler['run'],
      timeout: number('timeout', timeout, 1, year),
      retry: retry && {
        base: number('retry.base', retry.base, 0, year),
        max: number('retry.max', retry.max ?? day, 0, year),
      },
      keep,
      transactional,
    });
  }
  if (all.size === 0) throw new InvalidArgumentError('handlers must hold at least one handler.');
  return all;
}

/** Only names that have a handler are asked for. */
function nameFilter({ names, exceptNames }: AnyOptions, handlers: Map<string, JobHandler>): Omit<Filter, 'queues'> {
  if (names !== undefined && exceptNames !== undefined) {
    throw new InvalidArgumentError('names and exceptNames exclude each other.', { hint: 'Give one of them.' });
  }
  const except = exceptNames === undefined ? [] : words('exceptNames', exceptNames);
  if (handlers.has('*') && names === undefined) return except.length > 0 ? { exceptNames: except } : {};

  const wanted = names === undefined ? [...handlers.keys()].filter((name) => !except.includes(name)) : names;
  const unhandled = wanted.find((name) => !handlers.has(name) && !handlers.has('*'));
  if (unhandled !== undefined) throw new InvalidArgumentError(`There is no handler for "${unhandled}".`);
  return { names: words('names', wanted) };
}

function checkNames(options: object, known: string): void {
  const unknown = Object.keys(options).find((name) => !known.split(' ').includes(name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`There is no option "${unknown}".`, {
      hint: `There are ${known.replaceAll(' ', ', ')}.`,
    });
  }
}

function number(what: string, value: number, least: number, most: number): number {
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    throw new InvalidArgumentError(`${what} must be a number between ${least} and ${most}.`);
  }
  return value;
}

function whole(what: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value)) throw new InvalidArgumentError(`${what} must be a whole number.`);
  return number(what, value, least, most);
}

function words(what: string, list: readonly string[]): string[] {
  if (!Array.isArray(list) || list.length === 0 || list.some((word) => typeof word !== 'string' || word === '')) {
    throw new InvalidArgumentError(`${what} must be text, and not empty.`);
  }
  return [...list];
}
