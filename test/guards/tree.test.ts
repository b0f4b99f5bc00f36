// What is in the tree: generated files are current, sealed files are untouched, nothing lies where it should not.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { committedMigrations, currentMigration, installScript } from '../../sql/generate-install.js';

t.test('sql/install.sql is current', async (t) => {
  t.ok(readFileSync('sql/install.sql', 'utf8') === installScript(), 'run: npm run generate');
});

t.test('committed migrations are as they were committed', async (t) => {
  t.not(committedMigrations().length, 0);
});

t.test('a committed migration that was changed is noticed', async (t) => {
  const [first = ''] = readdirSync('migrations/committed').sort();
  const text = readFileSync(`migrations/committed/${first}`, 'utf8');
  const changed = (to: string) => committedMigrations(t.testdir({ [first]: to }));
  t.equal(changed(text).length, 1, 'the copy itself is fine');
  t.throws(() => changed(text.replace('create table', 'create  table')), /was changed after it was committed/);
  t.throws(() => changed(text.replace('Previous: -', 'Previous: sha1:00')), /was changed after it was committed/);
  t.throws(() => changed(text.replace(/^--! Hash.*\n/m, '')), /not as graphile-migrate commits it/);
});

t.test('no migration is left uncommitted', async (t) => {
  t.equal(currentMigration().length, 0, 'run: npm run migrate:commit');
});

t.test('the top level holds only what belongs there', async (t) => {
  const allowed = ['package.json', 'package-lock.json', 'sql', 'migrations', 'client', 'test', 'tsconfig.json'];
  const also = ['README.md', 'CHANGELOG.md', 'LICENSE', 'bench', 'examples', 'docs'];
  const made = ['node_modules', 'dist'];
  const found = readdirSync('.').filter((name) => !name.startsWith('.') && !name.endsWith('.tgz'));
  t.same(
    found.filter((name) => ![...allowed, ...also, ...made].includes(name)),
    [],
  );
});

t.test('the lock file names no registry, and lacks nothing, so that npm ci works on every machine', async (t) => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
  t.not(Object.keys(packages).length, 0);
  const locked = new Set(Object.keys(packages).map((name) => name.replace(/^.*node_modules\//, '')));
  for (const [name, { dependencies, optionalDependencies }] of Object.entries<Record<string, object>>(packages)) {
    const wanted = Object.keys({ ...dependencies, ...optionalDependencies });
    t.same(
      wanted.filter((each) => !locked.has(each)),
      [],
      name,
    ); // npm leaves out what the registry lacked that day
  }
  t.same(
    Object.keys(packages).filter((name) => packages[name].resolved),
    [],
  );
});

t.test('no file in client/ is longer than 200 lines', async (t) => {
  const files = readdirSync('client', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  t.not(files.length, 0);
  for (const file of files) t.ok(readFileSync(path.join('client', file), 'utf8').split('\n').length <= 201, file);
});
