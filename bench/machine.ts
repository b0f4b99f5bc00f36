// What the figures were measured on, and what the machine spends.
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import os from 'node:os';
import type pg from 'pg';

export interface Machine {
  cpu: string;
  cores: number;
  memory: string;
  system: string;
  /** Where PostgreSQL's files are. */
  disk: string;
  node: string;
  postgres: string;
  /** Processes that wanted the CPU before we began, averaged over a minute. On an idle machine it is near 0. */
  load: number;
}

/** A quarter of the memory, as PostgreSQL's manual advises, but no more than 4 GB. */
const sharedBuffers = `${Math.min(4096, Math.floor(os.totalmem() / 2 ** 22))}MB`;

/** PostgreSQL's settings; everything else has its default, fsync and synchronous_commit included. */
export const settings = {
  fsync: true,
  synchronous_commit: true,
  shared_buffers: sharedBuffers,
  max_wal_size: '16GB',
  checkpoint_timeout: '15min',
  max_connections: 100,
};

export async function describeMachine(client: pg.Client, dataDirectory: string): Promise<Machine> {
  const { rows } = await client.query('show server_version');
  const tmpfs = 0x01021994;
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GB`,
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    disk: statfsSync(dataDirectory).type === tmpfs ? 'memory (tmpfs): fsync costs nothing here' : 'disk',
    node: process.version,
    postgres: rows[0].server_version,
    load: Math.round((os.loadavg()[0] ?? 0) * 100) / 100,
  };
}

/** CPU of the server since it started, in milliseconds: its processes, and those that have ended. Only on Linux. */
export function serverCpu(postmaster: number | undefined): number {
  if (process.platform !== 'linux' || postmaster === undefined) return Number.NaN;
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const fields = readStat(pid);
    if (fields === undefined) continue;
    const own = Number(fields[11]) + Number(fields[12]);
    if (Number(pid) === postmaster) ticks += own + Number(fields[13]) + Number(fields[14]);
    else if (Number(fields[1]) === postmaster) ticks += own;
  }
  return ticks * 10; // a tick is 10 ms on every Linux that Node.js runs on
}

/** What follows the name, which may hold spaces: state, ppid, …, utime, stime, cutime, cstime. */
function readStat(pid: string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // it has ended
  }
}
