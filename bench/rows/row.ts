// What a row of the table is.
import type { Bench } from '../bench.js';

/** One measured thing: a bar of the chart. */
export interface Series {
  /** Whose it is, as in the table: floor, pgmill, pgmill without history, graphile tuned, pg-boss. */
  name: string;
  /** One value for each repeat. */
  values: number[];
  median: number;
}

/** A curve: how something went over the course of a run. */
export interface Curve {
  name: string;
  points: number[];
}

export interface Goal {
  /** What is to be reached: `at least 0.75 of the floor`. */
  text: string;
  measured: number;
  needed: number;
  /** null: it could not be measured on this machine. */
  reached: boolean | null;
}

export interface Result {
  row: string;
  title: string;
  unit: string;
  better: 'more' | 'less';
  series: Series[];
  curves?: Curve[];
  goals: Goal[];
  /** Sizes, and how it was measured in short. */
  note: string;
}

export interface Row {
  name: string;
  title: string;
  run(bench: Bench): Promise<Result[]>;
}

export function series(name: string, values: number[]): Series {
  return { name, values: values.map(rounded), median: rounded(median(values)) };
}

export function median(values: number[]): number {
  return quantile(values, 0.5);
}

/** Linear between neighbours. */
export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low = Number.NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

export function atLeast(needed: number, text: string, measured: number): Goal {
  return { text: `≥ ${needed} ${text}`, ...judged(measured, needed, measured >= needed) };
}

export function atMost(needed: number, text: string, measured: number): Goal {
  return { text: `≤ ${needed} ${text}`, ...judged(measured, needed, measured <= needed) };
}

function judged(measured: number, needed: number, reached: boolean): Omit<Goal, 'text'> {
  return { measured: rounded(measured), needed, reached: Number.isFinite(measured) ? reached : null };
}

/** Four digits are more than a benchmark is worth. */
function rounded(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
}

/** Jobs a second. */
export function rate(jobs: number, milliseconds: number): number {
  return (jobs / milliseconds) * 1000;
}

/** What every table and chart calls them. */
export const titles = { floor: 'floor', pgmill: 'pgmill', graphile: 'graphile-worker', pgboss: 'pg-boss' } as const;
