// A result as text for the terminal.
import type { Result } from './rows/row.js';

export function report({ title, unit, series, goals, note }: Result): string {
  const width = Math.max(...series.map(({ name }) => name.length), 20);
  const lines = series.map(({ name, median, values }) => {
    const spread = values.length > 1 ? `   (${figure(Math.min(...values))} to ${figure(Math.max(...values))})` : '';
    return `  ${name.padEnd(width)} ${figure(median).padStart(9)} ${unit}${spread}`;
  });
  const verdicts = goals.map(({ text, measured, reached }) => {
    const verdict = reached === null ? 'not measured' : reached ? 'reached' : 'NOT REACHED';
    return `  ${verdict.padEnd(12)} ${figure(measured).padStart(6)}   ${text}`;
  });
  return [title, ...lines, ...verdicts, `  ${note}`, ''].join('\n');
}

/** 23,400; 812; 3.81; 0.046 */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Number(value.toPrecision(3)).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}
