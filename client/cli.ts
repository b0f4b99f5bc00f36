#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { cronNext } from './cli-cron.js';
import { PgMillError } from './errors.js';
import { migrate } from './migrate.js';

/** A wrong command line: exit code 2. */
class UsageError extends Error {}

interface Command {
  /** The line in `pgmill --help`. */
  help: string;
  /** What follows the command's name besides options, all of it required. */
  words: string[];
  options: NonNullable<ParseArgsConfig['options']>;
  run: (options: Record<string, string | undefined>, words: string[]) => Promise<void>;
}

/** By name, of one word or two. */
const commands: Record<string, Command> = {
  migrate: {
    help: 'migrate [--database-url URL]   install pgmill in a database, or bring it up to date',
    words: [],
    options: { 'database-url': { type: 'string' } },
    run: runMigrate,
  },
  'cron next': {
    help: 'cron next "0 9 * * 1-5" [--tz Europe/Amsterdam] [--count 5] [--after TIME]\n                                 show when an expression comes due; needs no database',
    words: ['one expression, in quotes'],
    options: { tz: { type: 'string' }, count: { type: 'string' }, after: { type: 'string' } },
    run: runCronNext,
  },
};

async function runMigrate(options: Record<string, string | undefined>): Promise<void> {
  const { applied, changed, version, warnings } = await migrate({ connectionString: databaseUrl(options) });
  for (const warning of warnings) console.error(`pgmill: ${oneLine(warning)}`);
  for (const name of applied) console.log(`applied ${name}`);
  console.log(changed ? `pgmill ${version} is installed.` : `pgmill ${version} was installed already.`);
}

async function runCronNext(options: Record<string, string | undefined>, [expression = '']: string[]): Promise<void> {
  try {
    for (const line of cronNext(expression, options)) console.log(line);
  } catch (error) {
    if (!(error instanceof PgMillError)) throw error;
    throw new UsageError(describe(error));
  }
}

/** `--database-url`, or DATABASE_URL, or undefined: then the PG* variables count. */
function databaseUrl(options: Record<string, string | undefined>): string | undefined {
  const url = options['database-url'] ?? (process.env.DATABASE_URL || undefined);
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) {
    throw new UsageError('the database URL must begin with postgres://');
  }
  return url;
}

function help(): string {
  return `Usage: pgmill COMMAND

${Object.values(commands)
  .map((command) => `  ${command.help}`)
  .join('\n')}
  --help                         show this
  --version                      show the version

The database is --database-url, or DATABASE_URL, or PGHOST, PGUSER and the other variables of libpq.`;
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}

async function main(args: string[]): Promise<void> {
  const [first = ''] = args;
  if (['--help', '-h', 'help'].includes(first)) return console.log(help());
  if (['--version', '-v'].includes(first)) return console.log(version());

  const name = [args.slice(0, 2).join(' '), first].find((each) => Object.hasOwn(commands, each));
  const command = name === undefined ? undefined : commands[name];
  if (name === undefined || command === undefined) {
    throw new UsageError(first === '' ? 'there is no command' : 'there is no such command');
  }
  const { values, positionals } = parse(args.slice(name.split(' ').length), command);
  const { help: helpWanted, ...options } = values;
  if (helpWanted === true) return console.log(help());
  if (positionals.length !== command.words.length) {
    throw new UsageError(`${name} takes ${command.words.join(' ') || 'options only'}`);
  }
  await command.run(options as Record<string, string | undefined>, positionals);
}

function parse(args: string[], { options }: Command) {
  try {
    return parseArgs({ args, allowPositionals: true, options: { ...options, help: { type: 'boolean', short: 'h' } } });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** One line for any error. A refused connection to several addresses has its message inside. */
function describe(error: unknown): string {
  const { message, errors, hint, code } = error as Error & { errors?: Error[]; hint?: string; code?: string };
  const text = message || errors?.[0]?.message || code || String(error);
  return oneLine(hint ? `${text} ${hint}` : text);
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`pgmill: ${describe(error)}`);
  if (error instanceof UsageError) console.error('Try "pgmill --help".');
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
