// Claims that are sent before the one before them is answered: over a network that withholds the answers.
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { PgMill } from '../../client/index.js';
import { open, until } from './worker-help.js';

/** The end of every answer: the server is ready for the next call. */
const ready = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** Every claim names it, and no other call does. */
const workerId = 'the worker that claims';

/** A way to the database. Once an answer that holds `mark` has passed, no more pass until `resume`. */
async function withholding(t: Test, url: string, mark: string) {
  const { hostname, port, pathname, username, password } = new URL(url);
  let held: (() => void)[] | undefined;
  let resumed = false;
  let claims = 0;
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    let seen = '';
    near.on('data', (chunk) => {
      if (held) claims += chunk.toString('latin1').split(workerId).length - 1;
      far.write(chunk);
    });
    far.on('data', (chunk) => {
      if (held) {
        held.push(() => near.write(chunk));
        return;
      }
      near.write(chunk);
      seen += chunk.toString('latin1');
      if (!chunk.subarray(-ready.length).equals(ready)) return;
      if (seen.includes(mark) && !resumed) held = [];
      seen = '';
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => {});
      one.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port: ours } = server.address() as net.AddressInfo;
  return {
    url: `postgres://${username}:${password}@127.0.0.1:${ours}${pathname}`,
    /** How many were sent since. */
    claims: () => claims,
    resume() {
      resumed = true;
      for (const pass of held ?? []) pass();
      held = undefined;
    },
  };
}

async function claimed(t: Test, jobs: number, claims: number, expected: object) {
  const { mill, states, url } = await open(t);
  await mill.addJobs(Array.from({ length: jobs }, () => ({ name: 'job', payload: { mark: 'the mark' } })));
  const network = await withholding(t, url, 'the mark');
  const slow = new PgMill({ connectionString: network.url });
  let ran = 0;
  const w = slow.worker({ concurrency: 1, prefetch: 20, workerId, listen: false, handlers: { job: () => void ran++ } });
  t.teardown(async () => {
    await w.stop();
    await slow.close();
  });
  await Promise.race([w.start(), until('the first jobs ran', () => ran > 0)]);
  const asExpected = async () => JSON.stringify(sorted(await states())) === JSON.stringify(sorted(expected));
  await until('the claims that are expected', asExpected).catch(async () => t.strictSame(await states(), expected));
  await until('they are sent', () => network.claims() >= claims);
  await sleep(100);
  t.equal(network.claims(), claims);
  t.strictSame(await states(), expected, 'and no more');
  network.resume();
  await until('all are done', async () => (await states())['completed'] === jobs);
  t.equal(ran, jobs);
}

const sorted = (states: object) => Object.entries(states).sort();

t.test('while there is plenty, two claims are under way, for no more than may be held', (t) =>
  // The first claim brings 11, which run; then 10 are asked for, and at once 11 more.
  claimed(t, 100, 2, { completed: 11, running: 21, ready: 68 }),
);

t.test('no second one when the last did not bring all it asked for', (t) => claimed(t, 10, 1, { completed: 10 }));
