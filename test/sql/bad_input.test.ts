// Each parameter of each function that somebody may call, wrong in each way that makes sense: refused with a code of ours and
// a cure, without a word of the value, and nothing has changed.
import t from 'tap';
import { testDatabase } from '../postgres/database.js';
import { contents } from './contents.js';

const secret = 'TOP-SECRET';
const token = `'00000000-0000-4000-8000-000000000000'::uuid`;
const lease = { id: '1', token };
const leases = { ids: 'array[1, 2]::bigint[]', tokens: `array[${token}, ${token}]` };
const object = (rest: string) => `'{"name": "a"${rest && `, ${rest}`}}'::jsonb`;

// Ways to be wrong, as SQL.
const word = ['null', `''`, `repeat('${secret}', 26)`];
const optionalWord = word.slice(1);
const flag = ['null::boolean'];
const limit = ['null', '0', '-1', '10001'];
const time = [`'infinity'::timestamptz`, `'-infinity'::timestamptz`];
const interval = [`'-1 second'::interval`, `'4000 years'::interval`];
const requiredInterval = ['null', ...interval];
const leaseTime = [...requiredInterval, `'0'::interval`, `'31 days'::interval`];
const payload = [`to_jsonb(repeat('${secret}', 210000))`];
const attempts = ['null', '0', '-1', '1001'];
const lists = [`array['${secret}', null]`, `array[array['${secret}']]`, `array_fill('${secret}'::text, array[10001])`];
const names = [...lists, `array[null]::text[]`];
const queues = ['null', `'{}'::text[]`, ...lists, `array['${secret}', '']`];
const listOfLeases = {
  ids: [
    'null',
    `'{}'::bigint[]`,
    'array[1]::bigint[]',
    'array[1, null]::bigint[]',
    'array[array[1, 2]]::bigint[]',
    'array(select generate_series(1, 10001)::bigint)',
  ],
  tokens: ['null', `'{}'::uuid[]`, `array[${token}]`, `array[${token}, null]`, `array[array[${token}, ${token}]]`],
};
const job = {
  payload: ['null', ...payload],
  queue: word,
  priority: ['null'],
  max_attempts: attempts,
  timeout: [...interval, `'0'::interval`],
  retry_base: requiredInterval,
  retry_max: requiredInterval,
};
const items = (key: string, rest = '') => [
  'null',
  `'null'::jsonb`,
  `'{}'::jsonb`,
  `'["${secret}"]'::jsonb`,
  `'[{"${key}": "a", "${secret} and more": 1}]'::jsonb`,
  ...(rest ? [rest] : []),
];

interface Case {
  /** Arguments that are right. */
  good?: Record<string, string>;
  /** By parameter: values that are wrong. A pair is a value and its error code, when that is not PM001. */
  bad: Record<string, (string | [string, string])[]>;
}

const cases: Record<string, Case> = {
  add_job: {
    good: { name: `'a'` },
    bad: {
      ...job,
      name: word,
      run_at: time,
      unique_key: optionalWord,
      on_duplicate: ['null', `''`, `'${secret}'`],
    },
  },
  add_jobs: {
    bad: {
      jobs: [
        ...items('name'),
        ...[
          '"name": ""',
          '"priority": "TOP-SECRET"',
          '"priority": 1.5',
          '"priority": 99999999999',
          '"max_attempts": 0',
          '"run_at": "TOP-SECRET"',
          '"run_at": "infinity"',
          '"timeout": "TOP-SECRET"',
          '"timeout": "-1 second"',
          '"retry_base": "-1 second"',
          '"retry_max": "4000 years"',
          '"queue": ""',
          '"unique_key": ""',
          '"on_duplicate": "TOP-SECRET"',
        ].map((rest) => `jsonb_build_array('{"name": "right"}'::jsonb, ${object(rest)})`),
        `jsonb_build_array(jsonb_build_object('name', repeat('${secret}', 26)))`,
        `jsonb_build_array(jsonb_build_object('name', 'a', 'payload', repeat('${secret}', 210000)))`,
        `(select jsonb_agg('{"name": "a"}'::jsonb) from generate_series(1, 10001))`,
      ],
    },
  },
  get_jobs: {
    good: { worker: `'w'`, max_jobs: '1' },
    bad: {
      worker: word,
      max_jobs: limit,
      queues,
      names,
      except_names: names,
      lease: leaseTime,
      unordered: flag,
    },
  },
  get_job: {
    good: { worker: `'w'` },
    bad: { worker: word, queues, names, except_names: names, lease: leaseTime, unordered: flag },
  },
  complete_job: {
    good: lease,
    bad: { id: ['null', ['-1', 'PM002']], token: ['null'], result: payload, keep: flag },
  },
  complete_jobs: {
    good: leases,
    bad: {
      ...listOfLeases,
      results: [
        ...[`'{}'`, `'null'`, `'[]'`, `'7'`, `'[1, 2, 3]'`, `'[[1, 2]]'`].map((json) => `${json}::jsonb`),
        `'["${secret}"]'::jsonb`,
        `jsonb_build_array(null, repeat('${secret}', 210000))`,
      ],
      keep: flag,
    },
  },
  fail_job: {
    good: { ...lease, error: `'e'` },
    bad: {
      id: ['null'],
      token: ['null'],
      error: ['null'],
      retry_in: interval,
      final: flag,
      reason: ['null', `''`, `'${secret}'`, `'lease_expired'`],
    },
  },
  fail_jobs: {
    bad: {
      failures: [
        ...items('error'),
        `'[{"id": 1, "error": "e"}]'::jsonb`,
        `'[{"id": "${secret}", "token": "${secret}", "error": "e"}]'::jsonb`,
        `jsonb_build_array(jsonb_build_object('id', 1, 'token', ${token}))`,
        `jsonb_build_array(jsonb_build_object('id', 1, 'token', ${token}, 'error', 'e', 'retry_in', '-1 second'))`,
        `jsonb_build_array(jsonb_build_object('id', 1, 'token', ${token}, 'error', 'e', 'retry_in', '${secret}'))`,
        `jsonb_build_array(jsonb_build_object('id', 1, 'token', ${token}, 'error', 'e', 'reason', '${secret}'))`,
        `jsonb_build_array(jsonb_build_object('id', 1, 'token', ${token}, 'error', 'e', 'final', '${secret}'))`,
      ],
    },
  },
  extend_leases: { good: leases, bad: { ...listOfLeases, lease: leaseTime } },
  release_jobs: { good: leases, bad: listOfLeases },
  snooze_job: {
    good: { ...lease, run_at: 'now()' },
    bad: { id: ['null'], token: ['null'], run_at: ['null', ...time] },
  },
  reclaim: { bad: { max_jobs: limit } },
  next_run_at: { bad: { queues, names, except_names: names } },
  enter_sleep: { bad: { queues } },
  leave_sleep: { bad: {} },
  tick: { bad: {} },
  insights: { bad: {} },
  find_crons: { bad: {} },
  average_time_to_completion: {
    good: { from: `now() - interval '1 hour'`, to: 'now()' },
    bad: { from: ['null', ...time, `now() + interval '1 hour'`], to: ['null', ...time], names },
  },
  find_job: { bad: { id: ['null'] } },
  find_jobs: {
    bad: {
      state: [`''`, `'${secret}'`],
      queue: optionalWord,
      name: optionalWord,
      unique_key: optionalWord,
      run_from: time,
      run_until: time,
      max_jobs: limit,
    },
  },
  cancel_job: { bad: { id: ['null'] } },
  cancel_jobs: {
    bad: {
      name: optionalWord,
      queue: optionalWord,
      unique_key: optionalWord,
      run_at: time,
      run_from: time,
      run_until: time,
    },
  },
  retry_job: { bad: { id: ['null'] } },
  retry_jobs: {
    bad: {
      name: optionalWord,
      queue: optionalWord,
      state: [`''`, `'${secret}'`, `'completed'`],
      run_from: time,
      run_until: time,
      max_jobs: limit,
    },
  },
  update_job: {
    good: { id: '(select min(id) from pgmill.job)' },
    bad: {
      id: ['null'],
      payload,
      run_at: time,
      max_attempts: attempts.slice(1),
      timeout: job.timeout,
      retry_base: interval,
      retry_max: interval,
    },
  },
  cleanup: {
    bad: { completed_after: requiredInterval, failed_after: requiredInterval, cancelled_after: requiredInterval },
  },
  cron_next: {
    good: { expression: `'* * * * *'`, after: 'now()' },
    bad: {
      expression: ['null', ...["''", `'${secret}'`, "'61 * * * *'", "'* * * *'"].map(cron)],
      after: ['null', ...time],
      timezone: ['null', ...["''", `'${secret}'`, "'UTC+2'"].map(zone)],
    },
  },
  cron_upsert: {
    good: { name: `'c'`, expression: `'* * * * *'` },
    bad: {
      ...job,
      name: word,
      expression: ['null', ...["'61 * * * *'", "'0 0 30 2 *'"].map(cron)],
      every: [`'1 hour'::interval`],
      job_name: optionalWord,
      timezone: ['null', zone(`'${secret}'`)],
      owner: word,
      missed: ['null', `'${secret}'`],
      overlap: flag,
    },
  },
  cron_sync: {
    good: { owner: `'o'`, crons: `'[]'` },
    bad: {
      owner: word,
      crons: [
        ...items('name'),
        cron(`'[{"name": "right", "expression": "* * * * *"}, {"name": "wrong", "expression": "61 * * * *"}]'::jsonb`),
        zone(`'[{"name": "a", "expression": "* * * * *", "timezone": "${secret}"}]'::jsonb`),
        `'[{"name": "a", "every": "${secret}"}]'::jsonb`,
        `'[{"name": "a", "every": "0 seconds"}]'::jsonb`,
        `'[{"name": "a", "every": "1 hour"}, {"name": "a", "every": "2 hours"}]'::jsonb`,
      ],
    },
  },
  cron_pause: { bad: { name: [...word, [`'nobody'`, 'PM203']] } },
  cron_resume: { bad: { name: [...word, [`'nobody'`, 'PM203']] } },
  cron_remove: { bad: { name: word } },
};

/** Parameters for which every value of their type is good. */
const anyValue = new Set(['update_job.priority', 'cancel_jobs.priority', 'find_jobs.after_id']);

function cron(value: string): [string, string] {
  return [value, 'PM201'];
}

function zone(value: string): [string, string] {
  return [value, 'PM202'];
}

const db = await testDatabase(t);
// A job in each room, so that there is something that could change.
await db.sql(`select pgmill.add_job('a', '{"x": "${secret}"}', queue => q) from unnest('{done,runs}'::text[]) q`);
await db.sql(`select pgmill.complete_job(id, token) from pgmill.get_jobs('w', 1, '{done}')`);
await db.sql(`select id from pgmill.get_jobs('w', 1, '{runs}')`);
await db.sql(`select pgmill.add_job('a', unique_key => 'k'), pgmill.add_job('a', run_at => now() + interval '1 hour')`);

t.test('every parameter of every function that somebody may call has a case', async (t) => {
  const functions = await db.sql<{ name: string; parameters: string[] }>(`
    select p.proname::text as name, coalesce((
      select array_agg(a.name order by a.n) from unnest(p.proargnames) with ordinality a(name, n)
      where coalesce(p.proargmodes[a.n], 'i') in ('i', 'b')), '{}') as parameters
    from pg_proc p
    where p.pronamespace = 'pgmill'::regnamespace
      and exists (select from aclexplode(p.proacl) g where g.grantee <> p.proowner)
    order by 1`);
  t.same(
    functions.map(({ name }) => name),
    Object.keys(cases).sort(),
  );
  for (const { name, parameters } of functions) {
    const known = parameters.filter((parameter) => !anyValue.has(`${name}.${parameter}`));
    t.same(
      Object.keys(cases[name]?.bad ?? {})
        .filter((each) => known.includes(each))
        .sort(),
      known.sort(),
      name,
    );
  }
});

for (const [name, { good = {}, bad }] of Object.entries(cases)) {
  if (Object.keys(bad).length === 0) continue;
  t.test(`${name} refuses what is wrong, and changes nothing`, async (t) => {
    const right = Object.entries(good).map(([key, sql]) => `"${key}" => ${sql}`);
    if (right.length > 0) {
      const client = await db.client();
      await client.query('begin');
      const error = await client.query(`select * from pgmill.${name}(${right.join(', ')})`).catch((thrown) => thrown);
      t.not(error.code, 'PM001', 'the arguments that are right are accepted');
      await client.query('rollback');
      await client.end();
    }
    const before = await contents(db);
    for (const [parameter, values] of Object.entries(bad)) {
      for (const [value, code] of values.map((each) => (typeof each === 'string' ? [each, 'PM001'] : each))) {
        const args = Object.entries({ ...good, [parameter]: value }).map(([key, sql]) => `"${key}" => ${sql}`);
        const call = `select * from pgmill.${name}(${args.join(', ')})`;
        const error = await db.sql(call).then(
          () => ({ code: 'none', message: '', hint: '' }),
          (thrown) => thrown,
        );
        t.equal(error.code, code, `${parameter} => ${String(value).slice(0, 100)}: ${error.message.slice(0, 200)}`);
        t.match(error.hint, /\w/, `${parameter}: the cure`);
        // An expression or a zone is shown, so that the reader sees what is wrong with it; nothing else is.
        if (code === 'PM001')
          t.notMatch(`${error.message} ${error.hint} ${error.detail} ${error.where}`, secret, parameter);
      }
    }
    t.same(await contents(db), before, 'nothing has changed');
  });
}

t.test('what does not go together is refused', async (t) => {
  for (const call of [
    `get_jobs('w', 1, names => '{a}', except_names => '{b}')`,
    `get_job('w', names => '{a}', except_names => '{b}')`,
    `next_run_at(names => '{a}', except_names => '{b}')`,
    `cron_upsert('c', '* * * * *', '1 hour')`,
    `cron_upsert('c')`,
    ...['find_jobs', 'cancel_jobs', 'retry_jobs'].map(
      (fn) => `${fn}(run_from => '2100-01-02', run_until => '2100-01-01')`,
    ),
    ...['complete_jobs', 'extend_leases', 'release_jobs'].map(
      (fn) => `${fn}(array(select generate_series(1, 10001)::bigint), array_fill(${token}, array[10001]))`,
    ),
    `fail_jobs((select jsonb_agg('{"id": 1, "token": "00000000-0000-4000-8000-000000000000", "error": "e"}'::jsonb) from generate_series(1, 10001)))`,
  ]) {
    await t.rejects(db.sql(`select * from pgmill.${call}`), { code: 'PM001', hint: /\w/ }, call);
  }
});

t.test('an infinite interval, which PostgreSQL 17 brought, is refused', async (t) => {
  const [version] = await db.sql<{ version: number }>(`select current_setting('server_version_num')::int as version`);
  if ((version?.version ?? 0) < 170000) return t.pass('this PostgreSQL has none');
  for (const call of [
    `add_job('a', timeout => 'infinity')`,
    `add_job('a', retry_max => 'infinity')`,
    `get_jobs('w', 1, lease => 'infinity')`,
    `cleanup('infinity')`,
    `cron_upsert('c', every => 'infinity')`,
    `add_jobs('[{"name": "a", "timeout": "infinity"}]')`,
  ]) {
    await t.rejects(db.sql(`select * from pgmill.${call}`), { code: 'PM001' }, call);
  }
});

t.test(
  'a payload that is no JSON, or that has a NUL or half a character in it, is refused before anything is called',
  async (t) => {
    const before = await contents(db);
    for (const [text, code] of [
      ['{"a": "\\u0000"}', '22P05'],
      ['{"a": "\\ud800"}', '22P02'],
      ['{"a": "\\udc00\\ud800"}', '22P02'],
      ['{a: 1}', '22P02'],
      ['', '22P02'],
    ] as const) {
      await t.rejects(db.sql(`select pgmill.add_job('a', $1)`, [text]), { code }, text);
      await t.rejects(db.sql('select * from pgmill.add_jobs($1)', [text]), { code }, text);
      await t.rejects(db.sql(`select pgmill.complete_job(1, ${token}, $1)`, [text]), { code }, text);
    }
    await t.rejects(db.sql('select pgmill.add_job($1)', ['a\0b']), { code: '22021' });
    await t.rejects(db.sql(`select pgmill.fail_job(1, ${token}, $1)`, ['a\0b']), { code: '22021' });
    t.same(await contents(db), before, 'nothing has changed');
  },
);
