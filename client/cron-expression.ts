import { CronExpressionParser } from 'cron-parser';
import { InvalidArgumentError, InvalidCronError } from './errors.js';

/** An expression that was found right, in words that cron-parser reads as the database does. */
export interface CronExpression {
  /** It comes due whenever one of these does: cron-parser takes no second `1#2` beside other days. */
  alternatives: string[];
  /** No such day is in its months, as for 30 February. */
  never: boolean;
}

interface Field {
  name: string;
  /** Of cron-parser. */
  key: 'second' | 'minute' | 'hour' | 'dayOfMonth' | 'month' | 'dayOfWeek';
  /** How one item of the list may look; cron-parser says whether its values are right. */
  form: RegExp;
  hint: string;
}

const months = 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec';
const weekdays = 'sun|mon|tue|wed|thu|fri|sat';

/** In the order of an expression with seconds. The words are those of sql/internal/cron_refuse.sql. */
const fields: Field[] = [
  { name: 'second', key: 'second', form: form(), hint: 'Use 0 to 59' },
  { name: 'minute', key: 'minute', form: form(), hint: 'Use 0 to 59' },
  { name: 'hour', key: 'hour', form: form(), hint: 'Use 0 to 23' },
  { name: 'day-of-month', key: 'dayOfMonth', form: form('', () => 'l'), hint: 'Use 1 to 31, or L for the last day' },
  { name: 'month', key: 'month', form: form(months), hint: 'Use 1 to 12 or jan to dec' },
  {
    name: 'day-of-week',
    key: 'dayOfWeek',
    form: form(weekdays, (value) => `${value}(?:l|#[1-5])`),
    hint: 'Use 0 to 7 (0 and 7 are Sunday) or sun to sat; 5L is the last Friday of the month, 1#2 its second Monday',
  },
];
const [dayOfMonth, month, dayOfWeek] = [3, 4, 5] as const;

const names: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const longestDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Reads a cron expression, or throws InvalidCronError. Takes what sql/internal/cron_parse.sql takes, and says of the rest
 * the same; a test keeps them together. cron-parser alone would take `5` and the empty text, `H`, and `1mon`.
 */
export function parseCron(expression: string): CronExpression {
  if (typeof expression !== 'string') throw new InvalidArgumentError('expression must be a string.');
  const texts = splitFields(expression);
  const values = texts.map((text, place) => {
    return text === '*' || text === '?'
      ? ['*']
      : [...new Set(text.split(',').flatMap((item) => readItem(item, place)))];
  });

  const days = values[dayOfWeek] ?? [];
  const nths = days.filter((day) => day.includes('#'));
  const others = days.filter((day) => !day.includes('#'));
  const choices = [...nths.map((day) => [day]), ...(others.length > 0 ? [others] : [])];
  return {
    alternatives: choices.map((choice) =>
      [...values.slice(0, dayOfWeek), choice].map((list) => list.join(',')).join(' '),
    ),
    never: days[0] === '*' && isNever(values[dayOfMonth] ?? [], values[month] ?? []),
  };
}

/** Throws InvalidCronError for an expression that is wrong, or that never comes due. */
export function checkCron(expression: string): void {
  if (!parseCron(expression).never) return;
  throw new InvalidCronError('The cron expression never comes due: no such day of the month is in its months.', {
    hint: 'Give a day that exists, such as L for the last day of the month.',
  });
}

/** Six fields in lower case. */
function splitFields(expression: string): string[] {
  if ([...expression].length > 1024) {
    throw new InvalidCronError('The cron expression is longer than 1024 characters.', {
      hint: 'Use ranges and steps in place of long lists.',
    });
  }
  const split = (text: string) => text.split(/[ \t\n\r\f\v]+/).filter((field) => field !== '');
  const given = split(expression.replace(/[A-Z]/g, (letter) => letter.toLowerCase()));
  const named = Object.hasOwn(names, given.join(' ')) ? names[given.join(' ')] : undefined;
  if (named === undefined && given[0]?.startsWith('@')) {
    throw new InvalidCronError(`The cron expression "${cut(expression)}" is not known.`, {
      hint: 'Use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or five fields.',
    });
  }
  const found = named === undefined ? given : split(named);
  if (found.length === 6) return found;
  if (found.length === 5) return ['0', ...found];
  throw new InvalidCronError(`The cron expression has ${found.length} fields, not five or six.`, {
    hint: 'The fields are minute, hour, day of month, month, day of week; a sixth in front is the second.',
  });
}

/** The values of one item of a field: numbers, `L`, `5L`, or `1#2`. */
function readItem(item: string, place: number): string[] {
  const { name, key, form, hint } = fields[place] as Field;
  try {
    if (!form.test(item)) throw new Error('not of that form');
    const plain = item.replace(/\d+/g, (digits) => String(Number(digits)));
    const text = place === month ? plain : plain.replace(/l$/, 'L');
    const alone = fields.map((_, each) => (each === place ? text : '*')).join(' ');
    const { values } = CronExpressionParser.parse(alone).fields[key];
    if (text.includes('#')) return [text];
    return values.map((value) => String(place === dayOfWeek && typeof value === 'number' ? value % 7 : value));
  } catch {
    throw new InvalidCronError(`The ${name} field of the cron expression is wrong at "${cut(item)}".`, {
      hint: `${hint}; * for all, a-b with the smaller value first, /n for every n-th, commas between.`,
    });
  }
}

/** `*`, `a` or `a-b`, each with an optional `/step`, or something else besides. */
function form(names = '', more?: (value: string) => string): RegExp {
  const value = names === '' ? '\\d{1,4}' : `(?:\\d{1,4}|${names})`;
  const other = more === undefined ? '' : `|${more(value)}`;
  return new RegExp(`^(?:(?:[*?]|${value}(?:-${value})?)(?:/\\d{1,4})?${other})$`);
}

function isNever(days: string[], months: string[]): boolean {
  if (days.includes('*') || days.includes('L')) return false;
  const longest = months.includes('*') ? 31 : Math.max(...months.map((each) => longestDays[Number(each) - 1] ?? 0));
  return days.every((day) => Number(day) > longest);
}

function cut(text: string): string {
  return [...text].slice(0, 40).join('');
}
