// What is measured: each system puts its own code behind these few calls.

/** About 100 bytes as JSON. */
export interface Payload {
  n: number;
  /** When it was about to be added, in milliseconds of the machine's monotonic clock. */
  at: number;
  text: string;
  /** The first attempt fails. */
  fails?: boolean;
}

export interface Producer {
  /** Adds one job, as a user would. */
  add(payload: Payload): Promise<unknown>;
  /** Adds all of them in one call. */
  addMany(payloads: Payload[], options?: { delayed?: number }): Promise<unknown>;
  close(): Promise<void>;
}

export interface Worker {
  /** Resolves when it takes jobs. */
  start(): Promise<void>;
  /** Resolves when it takes none any more, and what it ran is settled. */
  stop(): Promise<void>;
}

/** The handler; throws when the job is to fail. */
export type Handle = (payload: Payload, attempt: number) => void;

/** tuned: its best options. forget: pgmill with keep: false. one: one job at a time. latency: as an idle service has it. */
export type Variant = 'tuned' | 'forget' | 'defaults' | 'one' | 'latency';

export interface System {
  /** Makes its tables. Once: the databases of the runs are copies. */
  install(url: string): Promise<void>;
  producer(url: string, connections: number): Promise<Producer>;
  worker(url: string, variant: Variant, handle: Handle): Worker;
  /** One row: `unsettled` and `failed` jobs, and those `done` (null: they are deleted when done). */
  counts: string;
  /** One row, `settled`: no job is left. */
  settled: string;
}

export type SystemName = 'floor' | 'pgmill' | 'graphile' | 'pgboss';
export const systemNames: SystemName[] = ['floor', 'pgmill', 'graphile', 'pgboss'];

export async function loadSystem(name: SystemName): Promise<System> {
  const modules = {
    floor: () => import('./floor.js'),
    pgmill: () => import('./pgmill.js'),
    graphile: () => import('./graphile.js'),
    pgboss: () => import('./pgboss.js'),
  };
  return (await modules[name]()).system;
}

/** Milliseconds of a clock that all processes of the machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
