import { types } from 'node:util';
import { InvalidArgumentError } from './errors.js';
import { checkText, errorText, toJson } from './json.js';

/** A kind of value: the SQL type it is sent as, and how it is written. `what` names it in errors. */
interface Kind {
  cast: string;
  write: (value: unknown, what: string) => unknown;
}

/** Every kind of argument, written as PostgreSQL reads it. Null never gets here, except to `json`. */
export const kinds = {
  text: { cast: 'text', write: checkText },
  errorText: { cast: 'text', write: errorText },
  boolean: { cast: 'boolean', write: writeBoolean },
  int: { cast: 'int', write: writeInt },
  id: { cast: 'bigint', write: writeId },
  token: { cast: 'uuid', write: writeToken },
  time: { cast: 'timestamptz', write: writeTime },
  duration: { cast: 'interval', write: writeDuration },
  /** Milliseconds, or an object of units. */
  every: { cast: 'interval', write: writeEvery },
  json: { cast: 'jsonb', write: toJson },
  /** JSON that is written already. */
  writtenJson: { cast: 'jsonb', write: (value) => value },
  texts: { cast: 'text[]', write: (value, what) => checkArray(value, what).map((one) => checkText(one, what)) },
  ids: { cast: 'bigint[]', write: (value, what) => arrayLiteral(value, what, writeId) },
  tokens: { cast: 'uuid[]', write: (value, what) => arrayLiteral(value, what, writeToken) },
} satisfies Record<string, Kind>;

export type KindName = keyof typeof kinds;

/** Writes one argument. Null is null for SQL, but for `json` it is JSON's null. */
export function write(kind: KindName, value: unknown, what: string): unknown {
  if (value === null && kind !== 'json' && kind !== 'errorText') return null;
  return kinds[kind].write(value, what);
}

function writeBoolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw new InvalidArgumentError(`${what} must be true or false.`);
  return value;
}

function writeInt(value: unknown, what: string): number {
  if (typeof value !== 'number' || value !== Math.trunc(value) || Math.abs(value) > 2_147_483_647) {
    throw new InvalidArgumentError(`${what} must be a whole number between -2147483647 and 2147483647.`);
  }
  return value;
}

function writeId(value: unknown, what: string): string {
  if (typeof value !== 'string' || !/^\d{1,19}$/.test(value)) {
    throw new InvalidArgumentError(`${what} must be a job's id, a string of digits.`);
  }
  return value;
}

function writeToken(value: unknown, what: string): string {
  if (typeof value !== 'string' || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value)) {
    throw new InvalidArgumentError(`${what} must be the token that getJobs returned with the job.`);
  }
  return value;
}

function writeTime(value: unknown, what: string): string {
  if (!types.isDate(value) || Number.isNaN(value.getTime())) {
    throw new InvalidArgumentError(`${what} must be a valid Date.`);
  }
  return value.toISOString();
}

/**
 * Milliseconds as an interval. No days: they would depend on the time zone. Not all of it in seconds: PostgreSQL 14
 * reads no more than 31 bits of a unit.
 */
function writeDuration(value: unknown, what: string): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`${what} must be a finite number of milliseconds.`);
  }
  const hours = Math.trunc(value / 3_600_000);
  return `${hours} hours ${((value - hours * 3_600_000) / 1000).toFixed(6)} seconds`;
}

const units = ['years', 'months', 'days', 'hours', 'minutes', 'seconds'];

/** Units stay units: a month, and with a time zone a day, has no fixed number of milliseconds. */
function writeEvery(value: unknown, what: string): string {
  if (typeof value !== 'object' || value === null) return writeDuration(value, what);
  const parts = Object.entries(value).filter(([, number]) => number !== undefined);
  for (const [unit, number] of parts) {
    if (!units.includes(unit)) {
      throw new InvalidArgumentError(`An interval has no unit "${unit.slice(0, 40)}".`, {
        hint: `There are ${units.join(', ')}.`,
      });
    }
    if (!Number.isInteger(number) || number < 0 || number > 2_147_483_647) {
      throw new InvalidArgumentError(`${unit} must be a whole number, 0 or more.`);
    }
  }
  if (!parts.some(([, number]) => number > 0)) throw new InvalidArgumentError('An interval must be at least a second.');
  return parts.map(([unit, number]) => `${number} ${unit}`).join(' ');
}

/** An array literal of values that need no quotes: pg's own way, which quotes them, takes twice as long. */
function arrayLiteral(value: unknown, what: string, writeOne: (value: unknown, what: string) => string): string {
  return `{${checkArray(value, what)
    .map((one) => writeOne(one, what))
    .join(',')}}`;
}

function checkArray(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new InvalidArgumentError(`${what} must be an array.`);
  return value;
}
