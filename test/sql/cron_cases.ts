// Random cron expressions and moments, the same ones for the same seed.

export type Random = () => number;

/** A small generator of numbers from 0 up to 1 (mulberry32). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const bounds = [
  [0, 59],
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const;

function between(next: Random, from: number, to: number): number {
  return from + Math.floor(next() * (to - from + 1));
}

function spell(next: Random, place: number, value: number): string {
  const names = place === 4 ? months : weekdays;
  const name = names[place === 4 ? value - 1 : value];
  if (place < 4 || name === undefined || next() < 0.6) {
    return String(value);
  }
  return next() < 0.5 ? name : name.toUpperCase();
}

/** The values a list item stands for: cron-parser refuses a list that names one twice. */
function item(next: Random, place: number): { text: string; values: number[] } {
  const [min, max] = bounds[place] as readonly [number, number];
  const kind = next();
  const from = between(next, min, max);
  const to = between(next, from, max);
  const step = between(next, 1, Math.max(2, Math.floor((max - min) / 2)));
  const run = (first: number, last: number, by: number) =>
    Array.from({ length: Math.floor((last - first) / by) + 1 }, (_, index) => first + index * by);
  if (kind < 0.5) {
    return { text: spell(next, place, from), values: [from] };
  }
  if (kind < 0.7) {
    return { text: `${spell(next, place, from)}-${spell(next, place, to)}`, values: run(from, to, 1) };
  }
  if (kind < 0.8) {
    return { text: `${from}-${to}/${step}`, values: run(from, to, step) };
  }
  if (kind < 0.9) {
    return { text: `${from}/${step}`, values: run(from, max, step) };
  }
  return { text: `*/${step}`, values: run(min, max, step) };
}

function field(next: Random, place: number): string {
  const [min, max] = bounds[place] as readonly [number, number];
  // Day of month, month, day of week: mostly all, so that the schedules come often.
  if (next() < ([0.3, 0.2, 0.3, 0.5, 0.7, 0.6][place] as number)) {
    return next() < 0.9 ? '*' : '?';
  }
  const special = next();
  if (place === 3 && special < 0.15) {
    return 'L';
  }
  if (place === 5 && special < 0.2) {
    return `${between(next, min, max)}L`;
  }
  if (place === 5 && special < 0.4) {
    return `${between(next, min, max)}#${between(next, 1, 5)}`;
  }
  const texts: string[] = [];
  const seen = new Set<number>();
  for (let count = special < 0.7 ? 1 : between(next, 1, 3); count > 0; count--) {
    const { text, values } = item(next, place);
    const days = place === 5 ? values.map((value) => value % 7) : values;
    if (new Set(days).size === values.length && !days.some((value) => seen.has(value))) {
      texts.push(text);
      for (const day of days) {
        seen.add(day);
      }
    }
  }
  return texts.length === 0 ? '*' : texts.join(',');
}

/** An expression of five fields, at times six, at times a name. */
export function expression(next: Random): string {
  if (next() < 0.02) {
    return ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly'][between(next, 0, 5)] as string;
  }
  const fields = [1, 2, 3, 4, 5].map((place) => field(next, place));
  return (next() < 0.25 ? [field(next, 0), ...fields] : fields).join(' ');
}

/** A moment from one time up to another: half of them close to one of the changes. */
export function moment(next: Random, from: number, to: number, changes: number[]): number {
  const change = next() < 0.5 ? changes[between(next, 0, changes.length - 1)] : undefined;
  const at =
    change === undefined ? from + next() * (to - from) : change + (next() - 0.5) * (next() < 0.8 ? 96 : 6) * 3_600_000;
  // Whole seconds, whole minutes and everything else: the answer must come strictly later.
  const unit = [1, 1_000, 60_000, 3_600_000][between(next, 0, 3)] as number;
  return Math.floor(at / unit) * unit;
}

/** An expression with one or two of its characters changed, left out or put in: most are wrong. */
export function misspelt(next: Random): string {
  const characters = ' *?/,-#L0123456789MONfrisunjan@x.+';
  let text = expression(next);
  for (let times = between(next, 1, 2); times > 0; times--) {
    const at = between(next, 0, text.length);
    const put = next() < 0.7 ? characters[between(next, 0, characters.length - 1)] : '';
    text = text.slice(0, at) + put + text.slice(at + between(next, 0, 1));
  }
  return text;
}
