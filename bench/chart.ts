// Draws the charts from a results file alone: plain SVG, readable on light and dark pages.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Results } from './main.js';
import { figure } from './report.js';
import type { Result } from './rows/row.js';

/** A file for each result: bars, or curves where it has them. */
export function drawCharts(folder: string, { results, machine, date }: Results): void {
  const source = `${machine.cpu}, ${machine.cores} cores, PostgreSQL ${machine.postgres}, Node.js ${machine.node}, ${date.slice(0, 10)}`;
  for (const result of results) {
    const svg = result.curves ? lines(result, source) : bars(result, source);
    writeFileSync(path.join(folder, `${result.row}.svg`), svg);
  }
}

const width = 720;
const left = 230;
const right = 90;

/** Colours that stand out from white and from black. */
function colour(name: string): string {
  if (name.startsWith('pgmill'))
    return name.includes('keep: false') || name.includes('delayed') ? '#5aa9e6' : '#1f7ae0';
  if (name.startsWith('graphile')) return '#e08a1f';
  if (name.startsWith('pg-boss')) return '#b05ac8';
  return '#8a8f98';
}

function bars({ title, unit, better, series }: Result, source: string): string {
  const most = Math.max(...series.map(({ median }) => median), Number.MIN_VALUE);
  const rows = series.map(({ name, median }, index) => {
    const y = 52 + index * 28;
    const length = Math.max(1, (median / most) * (width - left - right));
    return [
      text(left - 10, y + 14, name, 'end'),
      `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="19" rx="2" fill="${colour(name)}"/>`,
      text(left + length + 8, y + 14, figure(median)),
    ].join('\n');
  });
  return frame(60 + series.length * 28, title, `${unit}, ${better} is better`, source, rows);
}

function lines({ title, curves = [] }: Result, source: string): string {
  const height = 260;
  const most = Math.max(...curves.flatMap(({ points }) => points));
  const [x0, x1, y0, y1] = [64, width - 30, height + 50, 60];
  const place = (index: number, value: number, count: number) => {
    const x = x0 + ((index + 0.5) / count) * (x1 - x0);
    return `${x.toFixed(1)},${(y0 - (value / most) * (y0 - y1)).toFixed(1)}`;
  };
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = y0 - share * (y0 - y1);
    return `<path d="M${x0} ${y}H${x1}" class="grid"/>${text(x0 - 8, y + 4, figure(share * most), 'end')}`;
  });
  const drawn = curves.map(({ name, points }, index) => {
    const path = points.map((value, at) => place(at, value, points.length)).join(' ');
    const y = y0 + 44 + index * 20;
    return [
      `<polyline points="${path}" fill="none" stroke="${colour(name)}" stroke-width="3" stroke-linejoin="round"/>`,
      `<rect x="${x0}" y="${y - 9}" width="22" height="4" fill="${colour(name)}"/>`,
      text(x0 + 32, y - 2, name),
    ].join('\n');
  });
  const axis = text((x0 + x1) / 2, y0 + 20, 'the first tenth of the jobs … the last', 'middle');
  return frame(y0 + 40 + curves.length * 20, title, 'jobs/s, more is better', source, [...grid, axis, ...drawn]);
}

function frame(height: number, title: string, subtitle: string, source: string, parts: string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height + 26}" width="${width}" height="${height + 26}" role="img">
<title>${escaped(title)}</title>
<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a }
.title { font-weight: 600; font-size: 15px; fill: #24292f }
.small { font-size: 11px }
.grid { stroke: #8a8f98; stroke-opacity: .3 }
@media (prefers-color-scheme: dark) { text { fill: #9ea7b3 } .title { fill: #e6edf3 } }
</style>
<text x="16" y="22" class="title">${escaped(title)}</text>
<text x="16" y="40" class="small">${escaped(subtitle)}</text>
${parts.join('\n')}
<text x="16" y="${height + 14}" class="small">${escaped(source)}</text>
</svg>
`;
}

function text(x: number, y: number, content: string, anchor = 'start'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
