import { types } from 'node:util';
import { CronExpressionParser } from 'cron-parser';
import { parseCron } from './cron-expression.js';
import { InvalidArgumentError, InvalidTimezoneError } from './errors.js';

export interface PreviewOptions {
  /** The zone the expression's times are in. @default 'UTC' */
  timezone?: string | undefined;
  /** How many times, 1 to 1000. @default 5 */
  count?: number | undefined;
  /** Only times later than this. @default now, by this machine's clock */
  after?: Date | undefined;
}

/**
 * The next times of a cron expression, without a database: for a form or a command line. Fewer, or none, when it never
 * comes due again. Throws InvalidCronError, InvalidTimezoneError.
 *
 * A preview only. The database alone decides when a job runs: `cronNext` asks it. The two can differ within an hour after
 * the clocks changed, in zones with unusual changes, such as Lord Howe, and where this machine knows other zones.
 */
export function previewCron(
  expression: string,
  { timezone = 'UTC', count = 5, after = new Date() }: PreviewOptions = {},
): Date[] {
  const { alternatives, never } = parseCron(expression);
  checkTimezone(timezone);
  if (!Number.isInteger(count) || count < 1 || count > 1000) {
    throw new InvalidArgumentError('count must be a whole number between 1 and 1000.');
  }
  if (!types.isDate(after) || Number.isNaN(after.getTime())) {
    throw new InvalidArgumentError('after must be a valid Date.');
  }
  if (never) return [];
  const times = alternatives.flatMap((alternative) => {
    const ticks = CronExpressionParser.parse(alternative, { tz: timezone, currentDate: after }).take(count);
    return ticks.map((tick) => tick.getTime());
  });
  return [...new Set(times)]
    .sort((a, b) => a - b)
    .slice(0, count)
    .map((time) => new Date(time));
}

/** The only names of three letters: Node knows `PST` and `IST` too, abbreviations that mean several zones. */
const short = ['CET', 'EET', 'EST', 'GMT', 'HST', 'MET', 'MST', 'PRC', 'ROC', 'ROK', 'UCT', 'UTC', 'WET'];

/** Names only, in their exact case, as in the database: `UTC+2` means one thing here and the opposite there. */
function checkTimezone(timezone: string): void {
  if (typeof timezone !== 'string') throw new InvalidArgumentError('timezone must be a string.');
  try {
    const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: timezone }).resolvedOptions();
    const otherCase = timeZone !== timezone && timeZone.toLowerCase() === timezone.toLowerCase();
    if (/^[A-Z]/.test(timezone) && !otherCase && (timezone.length !== 3 || short.includes(timezone))) return;
  } catch {
    // not known
  }
  throw new InvalidTimezoneError(`The time zone "${timezone.slice(0, 40)}" is not known.`, {
    hint: 'Use a name in its exact case, such as Europe/Amsterdam; no abbreviations or offsets.',
  });
}
