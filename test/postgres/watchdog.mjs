// Runs beside a PostgreSQL that start.ts started, and outlives the process that started it. Its stdin is a pipe from
// that process: when the pipe closes, for whatever reason (stop(), process.exit, kill -9), it stops what still runs and
// removes the folder. Plain JavaScript, because Node 20 runs it without a loader, in 40 ms.
//
//   node watchdog.mjs FOLDER
//
// Lines on stdin:  start PID SIGNAL   this process group runs; SIGNAL asks it to end soon
//                  end PID            it is gone
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const folder = process.argv[2];
/** @type {Map<number, NodeJS.Signals>} */
const running = new Map();
let rest = '';
let cleaning = false;

process.stdin.setEncoding('utf8');
process.stdin.on('data', (/** @type {string} */ text) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) {
    const [verb, pid, signal] = line.split(' ');
    if (verb === 'start') running.set(Number(pid), /** @type {NodeJS.Signals} */ (signal));
    if (verb === 'end') running.delete(Number(pid));
  }
});
process.stdin.on('close', cleanUp);
process.stdin.on('error', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {}); // the pipe decides

async function cleanUp() {
  if (cleaning) return;
  cleaning = true;
  for (const [pid, signal] of running) kill(pid, signal);
  const deadline = Date.now() + 30_000;
  while ([...running.keys()].some(alive) && Date.now() < deadline) await sleep(5);
  for (const pid of running.keys()) if (alive(pid)) kill(pid, 'SIGKILL');
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  process.exit();
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function kill(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {
    // gone already
  }
}

/** A process that nobody has waited for (a zombie, in a container without an init) counts as gone. @param {number} pid */
function alive(pid) {
  try {
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}
