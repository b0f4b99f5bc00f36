import type { CleanupOptions } from './admin-types.js';
import type { Insight } from './observer.js';

/**
 * The names of the ready-made jobs, for a map of payloads: `interface Jobs extends MaintenanceJobs { … }`.
 *
 * ```ts
 * await mill.registerCronJobs([
 *   { name: 'pgmill.cleanup', expression: '0 1 * * *' },
 *   { name: 'pgmill.insights', expression: '0 * * * *' },
 * ]);
 * mill.worker({ handlers: { 'pgmill.cleanup': cleanupJob(), 'pgmill.insights': insightsJob(), … } });
 * ```
 */
export interface MaintenanceJobs {
  'pgmill.cleanup': undefined;
  'pgmill.insights': undefined;
}

export interface InsightsJobOptions {
  /** What to do with the numbers. @default one line of JSON on the console */
  log?: ((insights: Insight[]) => void) | undefined;
}

/** What the handlers need, in a form that fits every map of payloads. */
interface Context<Methods> {
  mill: Methods;
  signal: AbortSignal;
}
interface Cleaner {
  cleanup(options: CleanupOptions): Promise<{ state: string; removed: number }[]>;
}
interface Watcher {
  insights(): Promise<Insight[]>;
}

/** cleanup deletes no more of a state in one call. */
const mostInOneCall = 100_000;

/**
 * A handler that removes jobs that ended long ago; its result is how many of each state. Its worker's database user needs
 * the role pgmill_admin.
 */
export function cleanupJob(options: CleanupOptions = {}) {
  return {
    timeout: 600_000,
    handler: async (_payload: unknown, { mill, signal }: Context<Cleaner>): Promise<Record<string, number>> => {
      const total: Record<string, number> = {};
      for (let more = true; more && !signal.aborted; ) {
        const rows = await mill.cleanup(options);
        for (const { state, removed } of rows) total[state] = (total[state] ?? 0) + removed;
        more = rows.some(({ removed }) => removed >= mostInOneCall);
      }
      return total;
    },
  };
}

/**
 * A handler that logs how many jobs there are and how long they take; its result is the same numbers. Its worker's
 * database user needs the role pgmill_observer.
 */
export function insightsJob({ log = logLine }: InsightsJobOptions = {}) {
  return {
    handler: async (_payload: unknown, { mill }: Context<Watcher>): Promise<Insight[]> => {
      const insights = await mill.insights();
      log(insights);
      return insights;
    },
  };
}

function logLine(insights: Insight[]): void {
  console.log(JSON.stringify({ 'pgmill.insights': insights }));
}
