import { previewCron } from './cron.js';
import { InvalidArgumentError, InvalidCronError } from './errors.js';

/** What `pgmill cron next` prints: a line for each time, in the zone with its offset, and in UTC. */
export function cronNext(expression: string, options: Record<string, string | undefined>): string[] {
  const { tz: timezone = 'UTC', count = '5', after } = options;
  const from = after === undefined ? new Date() : readTime(after);
  const times = previewCron(expression, { timezone, count: Number(count), after: from });
  if (times.length === 0) throw new InvalidCronError('the cron expression never comes due');
  return times.map(
    (time) => `${localTime(time, timezone)}   ${time.toISOString().replace('T', ' ').replace('.000Z', ' UTC')}`,
  );
}

/** With its offset or `Z`: without, it would mean this machine's zone. */
function readTime(text: string): Date {
  const time = new Date(text);
  if (!/(Z|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('--after must be a time such as 2026-03-27T12:00:00Z.');
  }
  return time;
}

/** `Fri 2026-03-27 09:00:00 +01:00` */
function localTime(time: Date, timeZone: string): string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'longOffset',
  });
  const part = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
  const offset = part.timeZoneName?.slice('GMT'.length) || '+00:00';
  return `${part.weekday} ${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${offset}`;
}
