import { inspect } from 'node:util';

/** How long to wait after this attempt, as the SQL function backoff has it: up to 4 % shorter or longer at random. */
export function retryDelay(attempt: number, { base, max }: { base: number; max: number }): number {
  return Math.min(max, base * 2 ** Math.min(attempt, 60) * (0.96 + Math.random() * 0.08));
}

/** What to store of an error: its stack, which starts with its name and message. */
export function describe(error: unknown): string {
  if (typeof error === 'string') return error;
  if (error instanceof Error) return error.stack || String(error);
  return inspect(error, { depth: 2 });
}
