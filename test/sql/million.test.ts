// find_job, find_jobs and insights among two million jobs. Times depend on the machine: they are printed; what is
// asserted is the plan, as auto_explain saw it run.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { value } from './rooms.js';

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows'?: number;
  'Actual Loops'?: number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}

t.setTimeout(300_000);
const db = await testDatabase(t);
const client = await db.client();
const plans: Plan[] = [];
client.on('notice', ({ message }) => {
  const json = /\{.*\}/s.exec(message ?? '')?.[0];
  if (json) plans.push(JSON.parse(json).Plan);
});
const columns = 'id, queue, name, payload, priority, run_at, attempts, max_attempts, retry_base, retry_max, created_at';
const job = `i, 'q' || i % 5, 'job' || i % 20, jsonb_build_object('user', i, 'text', repeat('x', 70)), 5, now() - interval '1 hour', 1, 3, '1 minute', '1 day', now()`;

t.before(async () => {
  for (const state of ['completed', 'failed', 'cancelled']) {
    for (let ago = 1; ago < 10; ago++) {
      const [day] = await db.sql(
        `select to_char(d, 'YYYYMMDD') as name, d::text as starts, (d + 1)::text as ends from (select (now() at time zone 'UTC')::date - ${ago} as d) d`,
      );
      await db.sql(`create table pgmill.finished_${state}_${day.name} partition of pgmill.finished_${state} (primary key (id))
        for values from ('${day.starts} 00:00Z') to ('${day.ends} 00:00Z')`);
    }
  }
  // Six whole days: of a day with few rows a plan may well read them all.
  await db.sql(`insert into pgmill.finished (${columns}, state, finished_at, claimed_at)
    select ${job}, case i % 100 when 0 then 'failed' when 1 then 'cancelled' else 'completed' end, t.at, t.at
    from generate_series(1, 1000000) i, lateral (select date_trunc('day', now(), 'UTC') - (1000001 - i) * interval '0.5184 seconds' as at) t`);
  await db.sql(
    `insert into pgmill.ready (${columns}, slot) select ${job}, i % 3 from generate_series(1000001, 2000000) i`,
  );
  await db.sql('analyze pgmill.finished; analyze pgmill.ready');
  await client.query(`load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set auto_explain.log_format = json; set client_min_messages = log`);
});

/** Runs a query; returns its rows and the nodes of the plan of the largest statement in it. */
async function explained(text: string) {
  await client.query(text); // plans and caches
  plans.length = 0;
  const start = performance.now();
  const { rows } = await client.query(text);
  t.comment(`${text}: ${(performance.now() - start).toFixed(1)} ms`);
  const all = plans.map(nodes).sort((a, b) => b.length - a.length)[0] ?? [];
  return { rows, nodes: all };
}

function nodes(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodes)];
}

/** How many rows the scans of the plan looked at. */
function seen(all: Plan[]): number {
  const scans = all.filter((node) => node['Relation Name']);
  return scans.reduce(
    (sum, node) =>
      sum + ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 1),
    0,
  );
}

t.test('find_job looks into indexes and at one row', async (t) => {
  for (const id of [1, 499_999, 500_000, 999_901, 1_500_000]) {
    const { rows, nodes } = await explained(`select id, state from pgmill.find_job(${id})`);
    t.equal(rows.length, 1);
    t.ok(nodes.length > 30, 'a plan over all partitions was seen');
    t.equal(seen(nodes), 1);
  }
  const { rows, nodes } = await explained('select id, state from pgmill.find_job(3000000)');
  t.same(rows, []);
  t.equal(seen(nodes), 0);
});

t.test('find_jobs reads a page in the order of the ids, and sorts nothing', async (t) => {
  const pages = [
    '',
    'after_id => 700000',
    'after_id => 1700000',
    `state => 'completed', after_id => 900000`,
    `state => 'ready'`,
    `queue => 'q3'`,
    `name => 'job7', state => 'completed'`,
    `name => 'job7', after_id => 1500000`,
  ];
  for (const args of pages) {
    const { rows, nodes } = await explained(`select id, state, queue, name from pgmill.find_jobs(${args})`);
    t.equal(rows.length, 100, args);
    t.ok(nodes.length > 3);
    t.notOk(
      nodes.some((node) => node['Node Type'].endsWith('Sort')),
      `${args}: no sort`,
    );
    t.ok(seen(nodes) < 50_000, `${args}: ${seen(nodes)} rows were looked at`);
  }
});

t.test('find_jobs that finds next to nothing sorts next to nothing', async (t) => {
  const { rows, nodes } = await explained(`select id from pgmill.find_jobs(name => 'nobody')`);
  t.same(rows, []);
  t.ok(nodes.length > 30);
  for (const node of nodes.filter((each) => each['Node Type'].endsWith('Sort'))) t.equal(node['Actual Rows'], 0);
});

t.test('insights counts them all, reading each room once', async (t) => {
  const { rows, nodes } = await explained('select * from pgmill.insights()');
  t.equal(rows.length, 20);
  const total = (column: string) => rows.reduce((sum, row) => sum + Number(row[column]), 0);
  t.equal(total('ready'), 1_000_000);
  t.equal(total('completed') + total('failed') + total('cancelled'), 1_000_000);
  for (const table of ['ready_0', 'ready_1', 'ready_2']) {
    t.equal(nodes.filter((node) => node['Relation Name'] === table).length, 1, table);
  }
});

t.test('average_time_to_completion leaves the partitions of other days alone', async (t) => {
  const { nodes } = await explained(`select pgmill.average_time_to_completion(now() - interval '1 hour', now())`);
  const scanned = nodes.flatMap((node) => node['Relation Name'] ?? []);
  t.ok(scanned.length >= 1 && scanned.length <= 3, `${scanned}`);
  t.notMatch(`${scanned}`, /failed|cancelled/);
});

t.test('cancel_jobs finds the holder of a key without looking through the rooms', async (t) => {
  await db.sql(`select pgmill.add_job('held', unique_key => 'k', run_at => '2100-01-01')`);
  await client.query('begin');
  plans.length = 0;
  t.equal(await value(client, `select pgmill.cancel_jobs(unique_key => 'k')`), '1');
  await client.query('rollback');
  t.ok(plans.length > 3);
  t.ok(
    plans.every((plan) => seen(nodes(plan)) < 100),
    `${plans.map((plan) => seen(nodes(plan)))}`,
  );
});
