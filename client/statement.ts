import { createHash } from 'node:crypto';
import { InvalidArgumentError } from './errors.js';
import { toJson } from './json.js';
import { type Columns, columns, type Shape, snakeCase } from './rows.js';
import { type KindName, kinds, write } from './values.js';

/** Arguments in camel case, each with its kind. */
interface Parameters {
  required: Record<string, KindName>;
  optional?: Record<string, KindName>;
}

/** A pgmill function: its name and parameters as sql/ declares them, and its result. */
export interface SqlFunction<Row> extends Parameters {
  name: string;
  columns: Columns<Row>;
}

/** Describes a function. The result of one that returns a single value has the column `value`. */
export function sqlFunction<Row>(fn: Parameters & { name: string; columns: Shape<Row> }): SqlFunction<Row> {
  return { ...fn, columns: columns(fn.columns) };
}

/**
 * Writes the call: `select pgmill.add_job(name => $1::text, priority => $2::int)::text as "value"`. Only arguments that
 * were given are in it, so the defaults of the SQL function are the only ones.
 */
export function statement(fn: SqlFunction<unknown>, args: object): { text: string; values: unknown[] } {
  const { call, values } = writeCall(fn, args);
  return { text: `select ${fn.columns.of(call)}`, values };
}

/** The part of it that calls the function. */
export function writeCall(fn: SqlFunction<unknown>, args: object): { call: string; values: unknown[] } {
  const values: unknown[] = [];
  const list: string[] = [];
  given(fn, args, (name, kind, value) => {
    values.push(write(kind, value, name));
    list.push(`${sqlName(name)} => $${values.length}::${kinds[kind].cast}`);
  });
  return { call: `pgmill.${fn.name}(${list.join(', ')})`, values };
}

/** Writes a list of objects as a JSON array with the keys that add_jobs and fail_jobs read. */
export function writeRows(parameters: Parameters, rows: readonly object[], what: string): string {
  if (!Array.isArray(rows)) throw new InvalidArgumentError(`${what} must be an array.`);
  try {
    // All at once, which takes half as long as one by one.
    const objects = rows.map((row: object) => {
      const object: Record<string, unknown> = {};
      given(parameters, row, (name, kind, value) => {
        object[jsonKey(name)] = kind === 'json' ? jsonOf(value, name) : write(kind, value, name);
      });
      return object;
    });
    return toJson(objects, what);
  } catch (error) {
    for (const row of rows) given(parameters, row, (name, kind, value) => void write(kind, value, name)); // says which is wrong
    throw error;
  }
}

/** A value that says the same within an object, where JSON.stringify leaves out what has no JSON. */
function jsonOf(value: unknown, what: string): unknown {
  const same = typeof value === 'object' ? value === null || !('toJSON' in value) : typeof value === 'string';
  return same ? value : JSON.parse(toJson(value, what));
}

const jsonKeys = new Map<string, string>();

/** Thousands of rows have the same few. */
function jsonKey(name: string): string {
  let key = jsonKeys.get(name);
  if (key === undefined) {
    key = snakeCase(name);
    jsonKeys.set(name, key);
  }
  return key;
}

const statementNames = new Map<string, string>();

/** A name that belongs to this text alone, whoever else prepares statements on the connection. */
export function statementName(text: string): string {
  let name = statementNames.get(text);
  if (name === undefined) {
    name = `pgmill_${createHash('sha1').update(text).digest('hex').slice(0, 20)}`;
    statementNames.set(text, name);
  }
  return name;
}

/**
 * Whether the server has lost a prepared statement, has it already, or cannot use it since pgmill was updated. Outside
 * of a transaction nothing was done then, and the call can be sent once more.
 */
export function isStatementLost(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '26000' || code === '42P05' || code === '0A000';
}

type Take = (name: string, kind: KindName, value: unknown) => void;

/** Calls `take` with each argument that was given, checked by name: undefined is not given, null is. */
function given({ required, optional }: Parameters, args: object, take: Take): void {
  if (typeof args !== 'object' || args === null) throw new InvalidArgumentError('Arguments must be in an object.');
  for (const name of Object.keys(args)) {
    const value = (args as Record<string, unknown>)[name];
    const kind = ownKind(required, name) ?? ownKind(optional, name);
    if (value === undefined && kind !== 'errorText') continue;
    if (kind === undefined) {
      const known = Object.keys({ ...required, ...optional }).join(', ');
      throw new InvalidArgumentError(`There is no option "${name.slice(0, 40)}".`, { hint: `There are ${known}.` });
    }
    take(name, kind, value);
  }
  for (const name in required) {
    const missing = (args as Record<string, unknown>)[name] === undefined && required[name] !== 'errorText';
    if (missing || !Object.hasOwn(args, name)) throw new InvalidArgumentError(`${name} is missing.`);
  }
}

function ownKind(kindOf: Record<string, KindName> | undefined, name: string): KindName | undefined {
  return kindOf !== undefined && Object.hasOwn(kindOf, name) ? kindOf[name] : undefined;
}

/** `from` and `to`, which are words of SQL, want quotes. */
function sqlName(name: string): string {
  return name === 'from' || name === 'to' ? `"${name}"` : snakeCase(name);
}
