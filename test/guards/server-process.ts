// For postgres.test.ts: starts a server, says so, and ends as its argument says.
import { startPostgres } from '../postgres/start.js';

const server = await startPostgres();
console.log(JSON.stringify({ pid: server.pid, version: server.version }));
const endings: Record<string, () => unknown> = {
  'stop()': () => server.stop(),
  'process.exit': () => process.exit(0),
  'an uncaught error': () => {
    throw new Error('on purpose');
  },
  'the end of its work': () => {},
  'a crash': () => process.kill(process.pid, 'SIGKILL'),
  'Ctrl-C': () => process.kill(process.pid, 'SIGINT'),
};
await endings[process.argv[2] ?? '']?.();
