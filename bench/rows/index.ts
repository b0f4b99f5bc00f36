// Every row of the table, in its order.
import { addMany } from './add-many.js';
import { addOneAlone, addOneTogether } from './add-one.js';
import { backlog } from './backlog.js';
import { cpu } from './cpu.js';
import { cronNext } from './cron-next.js';
import { drainRow } from './drain.js';
import { drainDefaults } from './drain-defaults.js';
import { dump } from './dump.js';
import { latency } from './latency.js';
import { oneAtATime } from './one-at-a-time.js';
import { rareQueue } from './rare-queue.js';
import type { Row } from './row.js';
import { snapshot } from './snapshot.js';
import { together } from './together.js';
import { wal } from './wal.js';

export const rows: Row[] = [
  addOneAlone,
  addOneTogether,
  addMany,
  drainRow,
  wal,
  cpu,
  drainDefaults,
  oneAtATime,
  latency,
  together,
  backlog,
  rareQueue,
  snapshot,
  dump,
  cronNext,
];
