export type { JobContext, TransactionContext } from './context.js';
export type { JobFailure, RunCounts, WorkerEvents } from './events.js';
export type { Handler, HandlerEntry, HandlerSettings, Handlers } from './handlers.js';
export type { RunOnceOptions, WorkerOptions } from './options.js';
export { FinalError, JobStoppedError, SnoozeError, type StopCode } from './reasons.js';
export type { Worker } from './worker.js';
