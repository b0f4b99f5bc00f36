import type pg from 'pg';
import type { Insight, PgMill } from '../../client/index.js';
import { count, duration, number, size, table } from './format.js';
import type { Jobs } from './jobs.js';
import type { Found } from './walk.js';

/** What the walk came across besides files. */
export function foundLines({ files, folders, links, others, mounts, unreadable }: Found): string[] {
  const skipped = [
    links > 0 && count(links, 'symbolic link'),
    others > 0 && `${count(others, 'device, pipe or socket', 'devices, pipes and sockets')}`,
    mounts > 0 && count(mounts, 'mounted file system'),
  ].filter((part) => part !== false);
  return [
    `Found ${count(files, 'file')} in ${count(folders, 'folder')}${skipped.length > 0 ? `; skipped ${skipped.join(', ')}` : ''}.`,
    ...unreadable.map((folder) => `Cannot read the folder ${folder}`),
  ];
}

/** A column for each job name. */
export function insightLines(insights: Insight[]): string[] {
  const row = (label: string, cell: (insight: Insight) => string) => [label, ...insights.map(cell)];
  const time = (ms: number | null) => (ms === null ? '-' : duration(ms));
  const states = ['ready', 'scheduled', 'retrying', 'running', 'completed', 'failed', 'cancelled'] as const;
  const rows = [
    row('', ({ name }) => name),
    ...states.map((state) => row(state, (insight) => number(insight[state]))),
    row('average wait', ({ averageWait }) => time(averageWait)),
    row('average run', ({ averageRun }) => time(averageRun)),
  ];
  return ['Insights', ...table(rows, [0])];
}

export async function bestLines(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query(`
    select f.path, r.bytes, r.gzip_bytes, r.bytes::float8 / r.gzip_bytes as ratio
    from pgmill_demo.result r join pgmill_demo.file f on f.id = r.file
    where r.bytes > 0
    order by ratio desc, f.path
    limit 10`);
  if (rows.length === 0) return [];
  const room = Math.max((process.stdout.columns ?? 1000) - 36, 20);
  const cells = rows.map(({ path, bytes, gzip_bytes, ratio }) => {
    const end = path.length > room ? `…${path.slice(1 - room)}` : path;
    return [`${ratio.toFixed(1)} : 1`, size(Number(bytes)), size(Number(gzip_bytes)), end];
  });
  return ['The ten best-compressed files', ...table([['ratio', 'size', 'gzipped', 'file'], ...cells], [3])];
}

/** Files whose job failed for good, ten at most. */
export async function failedLines(mill: PgMill<Jobs>, queue: string): Promise<string[]> {
  const failed = await mill.findJobs({ queue, state: 'failed', maxJobs: 10 });
  return failed.map(({ payload, errors }) => {
    // The first line of the stack, without the name of the error's class.
    const message =
      errors
        .at(-1)
        ?.message.split('\n')[0]
        ?.replace(/^\w*Error: /, '') ?? '';
    return `    ${(payload as Jobs['demo.file']).path}: ${message.replace(/\p{Cc}/gu, '?')}`;
  });
}

/** How much was done, and how fast. */
export async function totalLines(pool: pg.Pool, seconds: number, all: number): Promise<string[]> {
  const { rows } = await pool.query(`
    select count(*)::int as files, coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(lines), 0)::float8 as lines
    from pgmill_demo.result`);
  const { files, bytes, lines } = rows[0];
  return [
    `${count(files, 'file')}, ${size(bytes)}, ${count(lines, 'line')} in ${duration(seconds * 1000)}: ${number(Math.round(files / seconds))} files/s`,
    `Everything, with starting and stopping: ${duration(all * 1000)}`,
  ];
}
