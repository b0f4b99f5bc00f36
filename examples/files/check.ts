import type pg from 'pg';
import type { Insight } from '../../client/index.js';
import { count, number, table } from './format.js';
import type { Found } from './walk.js';

export interface Check {
  lines: string[];
  holds: boolean;
}

/**
 * Was every file done exactly once? Three books must agree: the rows of the files, the results that the jobs wrote, and
 * the jobs that completed.
 */
export async function checkFiles(
  pool: pg.Pool,
  { insights, found, failures }: { insights: Insight[]; found: Found; failures: string[] },
): Promise<Check> {
  const { rows } = await pool.query(`
    with per_file as (
      select f.id, count(r.file) as results, count(j.id) filter (where j.state = 'completed') as completed,
             bool_or(r.file is not null and r.sha256 is null) as vanished
      from pgmill_demo.file f
      left join pgmill_demo.result r on r.file = f.id
      left join pgmill.job j on j.id = r.job
      group by f.id
    )
    select count(*)::int as files,
           count(*) filter (where results = 1 and completed = 1)::int as once,
           count(*) filter (where results = 0)::int as never,
           count(*) filter (where results > 1)::int as more,
           count(*) filter (where vanished)::int as vanished,
           (select count(*)::int from pgmill_demo.result) as results,
           (select count(*)::int from pgmill_demo.result where attempt > 1) as later
    from per_file`);
  const { files, once, never, more, vanished, results, later } = rows[0];
  const jobs = insights.find(({ name }) => name === 'demo.file') ?? { completed: 0, failed: 0 };

  const books: [number, string][] = [
    [found.files, 'files found'],
    [files, 'rows in pgmill_demo.file'],
    [results, 'results in pgmill_demo.result'],
    [jobs.completed, 'jobs completed'],
    [once, 'files with exactly one result, of a job that completed'],
  ];
  const holds = found.unreadable.length === 0 && books.every(([value]) => value === files);
  const lines = [
    'Check: every file was done exactly once',
    ...table(
      books.map(([value, what]) => [number(value), what]),
      [1],
    ),
  ];
  if (later > 0) lines.push(`  ${count(later, 'file')} failed at first and came back (1 in 500 does so on purpose).`);
  if (vanished > 0) lines.push(`  ${count(vanished, 'file')} of them had vanished before the job ran.`);
  if (never > 0) lines.push(`  ${count(never, 'file')} not done; ${count(jobs.failed, 'job')} failed:`, ...failures);
  if (more > 0) lines.push(`  ${count(more, 'file')} done more than once.`);
  if (found.unreadable.length > 0) lines.push(`  ${count(found.unreadable.length, 'folder')} could not be read.`);
  lines.push(holds ? '  The check holds.' : '  THE CHECK DOES NOT HOLD.');
  return { lines, holds };
}
