// What people forget about a function: its file, contract, comment, definer's path, grant and test.
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { type Folder, sqlFiles } from '../../sql/generate-install.js';
import { testDatabase } from '../postgres/database.js';

interface Fn {
  oid: string;
  name: string;
  language: string;
  definer: boolean;
  settings: string[] | null;
  comment: string | null;
  body: string;
  parameters: string[];
  /** Who may execute it besides its owner; PUBLIC is '-'. */
  granted: string[];
}

const roles: Record<Folder, string[]> = {
  internal: [],
  producer: ['pgmill_producer'],
  worker: ['pgmill_worker'],
  schedule: ['pgmill_admin'],
  observer: ['pgmill_observer'],
  admin: ['pgmill_admin'],
};

const db = await testDatabase(t);
const functions = await db.sql<Fn>(`
  select p.oid, p.proname::text as name, l.lanname as language, p.prosecdef as definer, p.proconfig as settings,
    obj_description(p.oid, 'pg_proc') as comment, p.prosrc as body,
    coalesce((select array_agg(a.name order by a.n) from unnest(p.proargnames) with ordinality as a(name, n)
      where coalesce(p.proargmodes[a.n], 'i') in ('i', 'b', 'v')), '{}') as parameters,
    coalesce((select array_agg(g.grantee::regrole::text) from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
      where g.grantee <> p.proowner), '{}') as granted
  from pg_proc p join pg_language l on l.oid = p.prolang
  where p.pronamespace = 'pgmill'::regnamespace
  order by 2`);
const views = await db.sql<{ name: string }>(
  `select relname::text as name from pg_class where relnamespace = 'pgmill'::regnamespace and relkind = 'v'`,
);
const files = sqlFiles();

t.test('every file in sql/ holds one function or view, named after it, and every one has its file', async (t) => {
  const inFiles = files.map((file) => file.replace(/^.*\/(.*)\.sql$/, '$1'));
  t.same(inFiles.sort(), [...functions, ...views].map((each) => each.name).sort());
  for (const file of files) {
    const created = [...text(file).matchAll(/^create (?:or replace )?\w+ (\S+?)(?:\(| as|$)/gm)].map(
      (match) => match[1],
    );
    t.same(created, [`pgmill.${file.replace(/^.*\/(.*)\.sql$/, '$1')}`], file);
  }
});

t.test('every function begins with its contract: what it does, Returns, Errors', async (t) => {
  for (const { name, body } of functions) {
    const contract = contractOf(body);
    t.match(contract, /^-- [A-Z][^\n]*\w/, `${name} says what it does`);
    for (const part of ['Returns', 'Errors'])
      t.match(contract, new RegExp(`^\\s*-- ${part} `, 'm'), `${name} has ${part}`);
  }
});

t.test('every function that somebody may call explains each parameter, or says where that is done', async (t) => {
  for (const { name, body, parameters } of functions.filter(({ granted }) => granted.length > 0)) {
    const contract = contractOf(body);
    const elsewhere = /^-- +(?:as for|see) (\w+)$/m.exec(contract)?.[1];
    const known = elsewhere ? contractOf(functions.find((each) => each.name === elsewhere)?.body ?? '') : contract;
    for (const parameter of parameters)
      t.match(known, new RegExp(`^-- +(\\w+, )*${parameter}\\b`, 'm'), `${name}: ${parameter}`);
  }
});

t.test('every function and view has a comment', async (t) => {
  for (const { name, comment } of functions) t.match(comment, /^[A-Z].*\.$/, name);
  for (const { name } of views) t.match(text(fileOf(name)), `comment on view pgmill.${name} is '`, name);
});

t.test(
  'every function runs as its owner with a pinned search_path, but helpers in SQL that nobody may call',
  async (t) => {
    for (const { name, definer, settings, language, granted } of functions) {
      const inlined = language === 'sql' && granted.length === 0 && fileOf(name).startsWith('internal/');
      if (inlined && !definer) continue;
      t.ok(definer, `${name} is security definer`);
      t.ok(settings?.includes('search_path=pg_catalog, pgmill, pg_temp'), `${name} pins its search_path: ${settings}`);
    }
  },
);

t.test("a function may be executed by its folder's role and by nobody else", async (t) => {
  for (const { name, granted } of functions) {
    t.same(granted, roles[fileOf(name).split('/')[0] as Folder], name);
  }
});

t.test('tables, views and sequences are granted to nobody, and the schema to the four roles alone', async (t) => {
  const relations = await db.sql(`
    select c.relname::text as name from pg_class c, aclexplode(c.relacl) g
    where c.relnamespace = 'pgmill'::regnamespace and g.grantee <> c.relowner`);
  t.same(relations, []);
  const usage = await db.sql(`
    select g.grantee::regrole::text as role, g.privilege_type as privilege from pg_namespace n, aclexplode(n.nspacl) g
    where n.nspname = 'pgmill' and g.grantee <> n.nspowner order by 1`);
  const privilege = 'USAGE';
  const four = ['pgmill_admin', 'pgmill_observer', 'pgmill_producer', 'pgmill_worker'];
  t.same(
    usage,
    four.map((role) => ({ role, privilege })),
  );
});

t.test('the four roles are not members of each other, and cannot log in', async (t) => {
  const rows = await db.sql(`
    select r.rolname::text as name, r.rolcanlogin as login, r.rolsuper as super,
      (select count(*)::int from pg_auth_members m join pg_roles p on p.oid = m.roleid
       where m.member = r.oid and p.rolname like 'pgmill\\_%') as memberships
    from pg_roles r where r.rolname in ('pgmill_admin', 'pgmill_observer', 'pgmill_producer', 'pgmill_worker') order by 1`);
  t.equal(rows.length, 4);
  for (const row of rows) t.match(row, { login: false, super: false, memberships: 0 });
});

t.test('every function is named in a test in test/sql/', async (t) => {
  const tests = readdirSync('test/sql').filter((file) => file.endsWith('.test.ts'));
  const tested = tests.map((file) => `${file} ${readFileSync(`test/sql/${file}`, 'utf8')}`).join('\n');
  for (const { name } of functions.filter(({ name }) => !fileOf(name).startsWith('internal/'))) {
    t.ok(new RegExp(`\\b${name}\\b`).test(tested), name);
  }
});

t.test('adding and working use no SQL built from strings', async (t) => {
  for (const file of files.filter((file) => /^(producer|worker)\//.test(file))) {
    t.notMatch(code(file), /\bexecute\b(?!_)/i, file);
  }
});

t.test('no file in sql/ is longer than 120 lines', async (t) => {
  for (const file of files) t.ok(text(file).split('\n').length <= 121, file);
});

t.test('every index and constraint of the tables has a comment above or beside it', async (t) => {
  const migrations = readdirSync('migrations/committed').map((file) =>
    readFileSync(`migrations/committed/${file}`, 'utf8'),
  );
  const lines = [...migrations, readFileSync('migrations/current.sql', 'utf8')].join('\n').split('\n');
  t.ok(lines.some((line) => line.startsWith('create table')));
  for (const [n, line] of lines.entries()) {
    if (/^(create (unique )?index|alter table .* add constraint)/.test(line)) {
      t.match(`${lines[n - 1]} ${line}`, /--/, line);
    }
  }
});

/** The comment a body begins with. */
function contractOf(body: string): string {
  return /^\s*((?:--.*\n\s*)+)/.exec(body)?.[1]?.replace(/^ +/gm, '') ?? '';
}

function fileOf(name: string): string {
  return files.find((file) => file.endsWith(`/${name}.sql`)) ?? '';
}

function text(file: string): string {
  return readFileSync(`sql/${file}`, 'utf8');
}

/** Without comments and the names of functions. */
function code(file: string): string {
  return text(file)
    .replace(/--.*$/gm, '')
    .replace(/grant_execute/g, '');
}
