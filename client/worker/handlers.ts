import type { AnyJobs, JobName } from '../types.js';
import type { JobContext, TransactionContext } from './context.js';

/** Gets the payload and the context; what it returns is stored as the job's result (undefined: none). */
export type Handler<Payload = unknown, Context = JobContext> = (payload: Payload, ctx: Context) => unknown;

export interface HandlerSettings {
  /**
   * How long a job may take, in milliseconds, when the job itself does not say.
   * @default the worker's
   */
  timeout?: number | undefined;
  /**
   * How long to wait after a failed attempt, in milliseconds: `base * 2 ** attempt`, at most `max` (a day by default).
   * @default the job's own retryBase and retryMax
   */
  retry?: { base: number; max?: number | undefined } | undefined;
  /**
   * False: forget a completed job instead of keeping it with its result. Failures are kept all the same.
   * @default the worker's
   */
  keep?: boolean | undefined;
}

interface OrdinaryHandler<Payload, Jobs> extends HandlerSettings {
  handler: Handler<Payload, JobContext<Jobs>>;
  transactional?: false | undefined;
}

interface TransactionalHandler<Payload, Jobs> extends HandlerSettings {
  handler: Handler<Payload, TransactionContext<Jobs>>;
  /** Runs the handler in a transaction, `ctx.tx`, that also completes the job: all of it is committed, or nothing. */
  transactional: true;
}

// biome-ignore lint/suspicious/noExplicitAny: without a payload map, the handler itself says what it expects
type PayloadOf<Jobs, Name extends keyof Jobs> = unknown extends Jobs[Name] ? any : Jobs[Name];

/** A function alone. The property lets TypeScript tell the three forms apart, and so infer the handler's arguments. */
type BareHandler<Payload, Jobs> = Handler<Payload, JobContext<Jobs>> & { transactional?: undefined };

/** A handler alone, or with settings of its own. */
export type HandlerEntry<Payload, Jobs = AnyJobs> =
  | BareHandler<Payload, Jobs>
  | OrdinaryHandler<Payload, Jobs>
  | TransactionalHandler<Payload, Jobs>;

/**
 * A handler for each of `Names`. None of them optional: TypeScript could not infer the arguments of their handlers.
 * A const with more handlers than are asked for will do all the same.
 */
type HandlersFor<Jobs, Names extends JobName<Jobs>> = {
  [Name in Names]: HandlerEntry<PayloadOf<Jobs, Name>, Jobs>;
} & { '*'?: undefined };

/** The handler `*` takes every job that has no handler of its own. */
type CatchAll<Jobs> = {
  '*': HandlerEntry<unknown, Jobs>;
} & {
  [Name in Exclude<JobName<Jobs>, '*'>]?: HandlerEntry<PayloadOf<Jobs, Name>, Jobs> | undefined;
};

export type Handlers<Jobs, Names extends JobName<Jobs> = JobName<Jobs>> = HandlersFor<Jobs, Names> | CatchAll<Jobs>;

/** Which jobs to take. `names` and `exceptNames` exclude each other. */
export type NameFilter<Jobs, Names extends JobName<Jobs>, Except extends JobName<Jobs>> =
  | {
      /**
       * Only jobs of these names.
       * @default those that have a handler
       */
      names?: readonly Names[] | undefined;
      exceptNames?: undefined;
      handlers: Handlers<Jobs, NoInfer<Names>>;
    }
  | {
      names?: undefined;
      /**
       * All but jobs of these names.
       * @default none
       */
      exceptNames: readonly Except[];
      handlers: Handlers<Jobs, Exclude<JobName<Jobs>, NoInfer<Except>>>;
    };
