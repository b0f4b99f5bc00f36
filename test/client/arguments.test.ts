// Bad arguments: what is refused before anything is sent, what the database refuses, and that no message shows payload.
import { inspect } from 'node:util';
import t from 'tap';
import { convertError } from '../../client/errors.js';
import { InvalidArgumentError, PgMill, PgMillError } from '../../client/index.js';
import { errorText, toJson } from '../../client/json.js';
import { testDatabase } from '../postgres/database.js';

const secret = 'the secret of the payload';
const nul = 'a\0b';
const half = 'a\ud800b';
const token = '00000000-0000-4000-8000-000000000000';
// biome-ignore lint/suspicious/noExplicitAny: callers in JavaScript pass anything
const wrong = (value: unknown) => value as any;

function cycle(): object {
  const value: Record<string, unknown> = { secret };
  value.self = value;
  return value;
}

t.test('refuses what cannot be sent, and sends nothing', async (t) => {
  // Nothing listens there: whatever were sent would fail with ECONNREFUSED.
  const mill = new PgMill({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
  t.teardown(() => mill.close());
  await t.rejects(mill.addJob('fine'), { code: 'ECONNREFUSED' });

  const add = (options: object) => () => mill.addJob('job', {}, wrong(options));
  const refused: [string, () => Promise<unknown>, RegExp][] = [
    ['a name with NUL', () => mill.addJob(nul), /^name holds a NUL/],
    ['a name with half of a surrogate pair', () => mill.addJob(half), /^name holds/],
    ['a name that is no string', () => mill.addJob(wrong(5)), /^name must be a string/],
    ['no name', () => mill.addJob(wrong(undefined)), /^name is missing/],
    ['a queue with NUL', add({ queue: nul }), /^queue holds/],
    ['a queue with half of a surrogate pair', add({ queue: half }), /^queue holds/],
    ['a unique key with NUL', add({ uniqueKey: nul }), /^uniqueKey holds/],
    ['a unique key with half of a surrogate pair', add({ uniqueKey: `${half}😀` }), /^uniqueKey holds/],
    ['a worker with NUL', () => mill.getJob({ worker: nul }), /^worker holds/],
    ['a worker with half of a surrogate pair', () => mill.getJob({ worker: half }), /^worker holds/],
    ['a queue among many with NUL', () => mill.getJob({ worker: 'w', queues: ['a', nul] }), /^queues holds/],
    ['queues that are no array', () => mill.getJob({ worker: 'w', queues: wrong('a') }), /^queues must be an array/],
    ['no limit', () => mill.getJobs(wrong({ worker: 'w' })), /^maxJobs is missing/],
    ['a timeout of NaN', add({ timeout: Number.NaN }), /^timeout must be a finite number/],
    ['an infinite timeout', add({ timeout: Number.POSITIVE_INFINITY }), /^timeout must be a finite number/],
    ['a timeout as text', add({ timeout: '5 s' }), /^timeout must be a finite number/],
    ['a retryBase of NaN', add({ retryBase: Number.NaN }), /^retryBase/],
    ['a retryMax of -Infinity', add({ retryMax: Number.NEGATIVE_INFINITY }), /^retryMax/],
    ['a lease of NaN', () => mill.extendLeases([], { lease: Number.NaN }), /^lease/],
    ['a retryIn of NaN', () => mill.failJob('1', token, 'e', { retryIn: Number.NaN }), /^retryIn/],
    [
      'a retryIn of NaN among many',
      () => mill.failJobs([{ id: '1', token, error: 'e', retryIn: Number.NaN }]),
      /^retryIn/,
    ],
    ['an age of NaN', () => mill.cleanup({ failedAfter: Number.NaN }), /^failedAfter/],
    ['an invalid time', add({ runAt: new Date('never') }), /^runAt must be a valid Date/],
    ['a time as a number', add({ runAt: Date.now() }), /^runAt must be a valid Date/],
    ['a priority of NaN', add({ priority: Number.NaN }), /^priority must be a whole number/],
    ['a priority of one and a half', add({ priority: 1.5 }), /^priority must be a whole number/],
    ['a priority beyond 32 bits', add({ priority: 2 ** 31 }), /^priority must be a whole number/],
    ['a priority as text', add({ priority: '1' }), /^priority must be a whole number/],
    ['an id that is no number', () => mill.findJob('1; drop table'), /^id must be a job's id/],
    ['an id as a number', () => mill.findJob(wrong(1)), /^id must be a job's id/],
    ['an id among many', () => mill.releaseJobs([{ id: '1}', token }]), /^ids must be a job's id/],
    ['a token that is none', () => mill.completeJob('1', 'x'), /^token must be the token/],
    ['a token among many', () => mill.completeJobs([{ id: '1', token: '}' }]), /^tokens must be the token/],
    ['keep as text', () => mill.completeJobs([], { keep: wrong('no') }), /^keep must be true or false/],
    ['an option that does not exist', add({ prio: 1 }), /^There is no option "prio"/],
    ['an option named like a method of objects', add({ toString: 1 }), /^There is no option/],
    ['the option of another call', add({ lease: 1 }), /^There is no option "lease"/],
    ['an option that does not exist among many jobs', () => mill.addJobs([wrong({ name: 'a', prio: 1 })]), /"prio"/],
    ['jobs that are no array', () => mill.addJobs(wrong({ name: 'a' })), /^jobs must be an array/],
    ['a job that is no object', () => mill.addJobs([wrong(null)]), /object/],
    ['a job without name', () => mill.addJobs([wrong({ payload: 1 })]), /^name is missing/],
    ['a payload with NUL', () => mill.addJob('job', { secret, x: nul }), /^payload holds a NUL/],
    ['a payload with a key of half a pair', () => mill.addJob('job', { secret, [half]: 1 }), /^payload holds/],
    ['a payload with NUL after a backslash', () => mill.addJob('job', { secret, x: '\\\0' }), /^payload holds/],
    ['a payload with a BigInt', () => mill.addJob('job', { secret, x: 1n }), /^payload cannot be written as JSON/],
    ['a payload with a cycle', () => mill.addJob('job', cycle()), /^payload cannot be written as JSON/],
    ['a function as payload', () => mill.addJob('job', () => secret), /^payload must be a JSON value/],
    ['a symbol as payload', () => mill.addJob('job', Symbol(secret)), /^payload must be a JSON value/],
    [
      'a payload that throws when it is written',
      () =>
        mill.addJob('job', {
          toJSON() {
            throw new Error(secret);
          },
        }),
      /^payload cannot be written as JSON/,
    ],
    [
      'a cycle among many jobs',
      () => mill.addJobs([{ name: 'a' }, { name: 'b', payload: cycle() }]),
      /^payload cannot/,
    ],
    ['NUL among many jobs', () => mill.addJobs([{ name: 'a', payload: { secret, nul } }]), /^payload holds/],
    ['a function among many jobs', () => mill.addJobs([{ name: 'a', payload: () => secret }]), /^payload must/],
    ['a symbol among many jobs', () => mill.addJobs([{ name: 'a', payload: Symbol(secret) }]), /^payload must/],
    ['a BigInt among many jobs', () => mill.addJobs([{ name: 'a', payload: 1n }]), /^payload cannot/],
    [
      'a payload among many jobs that is undefined when it is written',
      () => mill.addJobs([{ name: 'a', payload: { toJSON: () => undefined } }]),
      /^payload must/,
    ],
    ['a result with NUL', () => mill.completeJob('1', token, { result: { secret, nul } }), /^result holds/],
    ['a result with a BigInt', () => mill.completeJob('1', token, { result: { secret, x: 1n } }), /^result cannot/],
    ['results with a cycle', () => mill.completeJobs([{ id: '1', token, result: cycle() }]), /^results cannot/],
    ['a tx without query', () => mill.addJob('job', {}, { tx: wrong({}) }), /^tx must be a client/],
    ['a tx of null', () => mill.addJob('job', {}, { tx: wrong(null) }), /^tx must be a client/],
    ['a tx that answers otherwise', () => mill.addJob('job', {}, { tx: { query: wrong(() => []) } }), /^tx.query must/],
  ];
  for (const [what, call, message] of refused) {
    const error = await failure(call);
    t.ok(error instanceof InvalidArgumentError, `${what}: ${error}`);
    t.match(error, { code: 'PM001', name: 'InvalidArgumentError', message }, what);
    t.notOk(inspect(error, { depth: 9, showHidden: true }).includes(secret), `${what}: no payload in it`);
  }
});

t.test('passes on what the database refuses, and changes nothing', async (t) => {
  const { pool, sql } = await testDatabase(t);
  const mill = new PgMill({ pool });
  t.teardown(() => mill.close());
  const add = (options: object) => () => mill.addJob('job', { secret }, wrong(options));
  const refused: [string, () => Promise<unknown>][] = [
    ['an empty name', () => mill.addJob('', { secret })],
    ['a name of null', () => mill.addJob(wrong(null), { secret })],
    ['a name of 256 characters', () => mill.addJob('x'.repeat(256), { secret })],
    ['an empty queue', add({ queue: '' })],
    ['an empty unique key', add({ uniqueKey: '' })],
    ['a payload of 2 MiB', () => mill.addJob('job', secret.repeat(90_000))],
    [
      'a payload of 2 MiB among many',
      () => mill.addJobs([{ name: 'a' }, { name: 'b', payload: secret.repeat(90_000) }]),
    ],
    ['no attempts', add({ maxAttempts: 0 })],
    ['negative attempts', add({ maxAttempts: -1 })],
    ['a timeout of zero', add({ timeout: 0 })],
    ['a negative timeout', add({ timeout: -1 })],
    ['a timeout of 60 years', add({ timeout: 60 * 365 * 86_400_000 })],
    ['a timeout beyond any interval', add({ timeout: 1e300 })],
    ['a negative retryBase', add({ retryBase: -1 })],
    ['a negative retryMax among many', () => mill.addJobs([{ name: 'a', payload: { secret }, retryMax: -1 }])],
    [
      'a timeout beyond any interval among many',
      () => mill.addJobs([{ name: 'a', payload: { secret }, timeout: 1e300 }]),
    ],
    ['a time before any calendar', add({ runAt: new Date(-8.64e15) })],
    ['a choice that does not exist', add({ onDuplicate: 'ignore' })],
    ['a limit of zero', () => mill.getJobs({ worker: 'w', maxJobs: 0 })],
    ['an empty worker', () => mill.getJob({ worker: '' })],
    ['names and exceptNames', () => mill.getJob({ worker: 'w', names: ['a'], exceptNames: ['b'] })],
    ['an id beyond 64 bits', () => mill.findJob('9999999999999999999')],
    ['a state that does not exist', () => mill.findJobs({ state: wrong('done') })],
    ['a negative age', () => mill.cleanup({ completedAfter: -1 })],
    ['a lease of zero', () => mill.extendLeases([], { lease: 0 })],
    ['a reason that does not exist', () => mill.failJob('1', token, 'e', { reason: wrong('bored') })],
  ];
  for (const [what, call] of refused) {
    const error = await failure(call);
    t.ok(error instanceof InvalidArgumentError, `${what}: ${error}`);
    t.notOk(inspect(error, { depth: 9, showHidden: true }).includes(secret), `${what}: no payload in it`);
  }
  t.strictSame(await sql('select count(*)::int as jobs from pgmill.job'), [{ jobs: 0 }]);

  const id = await mill.addJob('farthest', {}, { runAt: new Date('9999-12-31T23:59:59.999Z') });
  t.match(await mill.findJob(id), { runAt: new Date('9999-12-31T23:59:59.999Z') });
});

t.test('errors', async (t) => {
  t.test('has a class for each code, with the hint and the original as cause', async (t) => {
    const mill = new PgMill({ connectionString: 'postgres://nobody@127.0.0.1:1/none' });
    t.teardown(() => mill.close());
    const names = {
      PM001: 'InvalidArgumentError',
      PM002: 'LeaseLostError',
      PM003: 'AlreadyCompletedError',
      PM004: 'DuplicateKeyError',
      PM005: 'JobRunningError',
      PM101: 'NewerSchemaError',
      PM102: 'ChangedHistoryError',
      PM201: 'InvalidCronError',
      PM202: 'InvalidTimezoneError',
      PM203: 'UnknownCronError',
      PM999: 'PgMillError',
    };
    for (const [code, name] of Object.entries(names)) {
      const original = Object.assign(new Error('A sentence.'), { code, hint: 'The cure.' });
      const query = () => Promise.reject(original);
      const error = (await failure(() => mill.tick({ tx: { query } }))) as PgMillError;
      t.ok(error instanceof PgMillError);
      t.match(error, { name, code, message: 'A sentence.', hint: 'The cure.' });
      t.equal(error.cause, original);
      t.match(String(error), `${name}: A sentence.`);
    }
  });

  t.test('throws DuplicateKeyError for a key that is held', async (t) => {
    const { pool } = await testDatabase(t);
    const mill = new PgMill({ pool });
    t.teardown(() => mill.close());
    await mill.addJob('a', { secret }, { uniqueKey: 'k' });
    const error = await failure(() => mill.addJob('a', { secret }, { uniqueKey: 'k', onDuplicate: 'error' }));
    t.match(error, { name: 'DuplicateKeyError', code: 'PM004' });
    t.notOk(inspect(error, { depth: 9, showHidden: true }).includes(secret));
  });

  t.test('converts what PostgreSQL says of values, and keeps nothing of it', async (t) => {
    const { pool } = await testDatabase(t);
    const statements: [string, unknown][] = [
      ['select $1::jsonb', `{"secret": "${secret}", "x": "\\u0000"}`],
      ['select $1::jsonb', `{"secret": "${secret}", "x": "\\ud800"}`],
      ['select $1::text', `${secret}\0`],
      ['select $1::int', secret],
      ['select $1::int', '99999999999'],
      ['select $1::timestamptz', secret],
      ['select $1::interval', '99999999999999999999 years'],
      ['select $1::timestamptz', '2026-13-01'],
      ["select $1::text, 'infinity'::timestamptz::date - 'epoch'::date + 99999999999999999999::int", secret],
    ];
    for (const [text, value] of statements) {
      const original = await failure(() => pool.query(text, [value]));
      const error = convertError(original);
      t.ok(error instanceof InvalidArgumentError, `${text}: ${error}`);
      t.notOk(inspect(error, { depth: 9, showHidden: true }).includes(secret), 'no payload in it');
    }
  });

  t.test('leaves other errors of the database alone', async (t) => {
    const { pool } = await testDatabase(t, { blank: true });
    const mill = new PgMill({ pool });
    t.teardown(() => mill.close());
    await t.rejects(mill.addJob('a'), { code: '3F000' });
    for (const error of [new Error('no code'), undefined, null, 'text', new InvalidArgumentError('ours')]) {
      t.equal(convertError(error), error);
    }
  });
});

t.test('never refuses an error text: a failure report must not be lost', async (t) => {
  const { pool } = await testDatabase(t);
  const mill = new PgMill({ pool });
  t.teardown(() => mill.close());
  const unprintable = Object.create(null);
  const texts: [unknown, string][] = [
    [`${nul}${half}\udc00`, 'a\ufffdba\ufffdb\ufffd'],
    ['', ''],
    [`whole pairs 😀 stay`, 'whole pairs 😀 stay'],
    [null, 'null'],
    [undefined, 'undefined'],
    [new TypeError('an error'), 'TypeError: an error'],
    [unprintable, 'unknown error'],
  ];
  await mill.addJobs(texts.flatMap(() => [{ name: 'one' }, { name: 'many' }]));
  const ones = await mill.getJobs({ worker: 'w', maxJobs: 100, names: ['one'] });
  const many = await mill.getJobs({ worker: 'w', maxJobs: 100, names: ['many'] });
  for (const [index, [text, stored]] of texts.entries()) {
    const job = ones[index];
    if (!job) return t.fail('a job for each text');
    await mill.failJob(job.id, job.token, wrong(text));
    t.equal((await mill.findJob(job.id))?.errors[0]?.message, stored);
  }
  await mill.failJobs(many.map(({ id, token }, index) => ({ id, token, error: wrong(texts[index]?.[0]) })));
  for (const [index, job] of many.entries()) {
    t.equal((await mill.findJob(job.id))?.errors[0]?.message, texts[index]?.[1]);
  }

  t.equal(errorText('x'.repeat(50_000_000)).length, 8192, 'and sends no more than the database could keep');
  t.equal(errorText(`${'x'.repeat(8191)}😀`), `${'x'.repeat(8191)}\ufffd`, 'nor half of a pair');
});

t.test('writes JSON that jsonb can hold', async (t) => {
  for (const value of ['\\u0000', '\\\\u0000', '\\ud800', '\u0001', '😀', '\\', '"\\u0000"', 'C:\\users\\u0000']) {
    t.equal(JSON.parse(toJson(value, 'value')), value, JSON.stringify(value));
  }
  for (const value of ['\0', '\\\0', '\ud800', '\udfff', '\udc00\ud800', 'x\\\\\0', '😀\ud83d']) {
    t.throws(() => toJson(value, 'value'), { name: 'InvalidArgumentError' }, JSON.stringify(value));
  }
});

async function failure(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return new Error('it did not fail');
}
