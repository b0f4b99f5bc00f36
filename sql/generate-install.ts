// Makes sql/install.sql from migrations/committed/ and sql/: one script that installs pgmill or brings it up to date.
//
//   npm run generate             writes it
//   npm run generate -- --check  fails when it is not current
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Migration {
  /** What graphile-migrate calls it: 000001.sql, without a message. */
  name: string;
  hash: string;
  body: string;
}

const root = fileURLToPath(new URL('..', import.meta.url));

/** The folders in the order they are installed. */
const folders = ['internal', 'producer', 'worker', 'schedule', 'observer', 'admin'] as const;
export type Folder = (typeof folders)[number];

/** Installing waits for this lock, so that of several at once one does the work. Chosen at random, the same for ever. */
export const installLock = '7046029254386353131';

/** The whole script. With `current`, migrations/current.sql counts as one more migration: for authoring and tests. */
export function installScript({ current = false } = {}): string {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const migrations = committedMigrations();
  if (current) migrations.push(...currentMigration());
  const functions = functionsScript();
  const sqlHash = sha1(functions);
  const last = migrations.at(-1);
  return [
    header(version, sqlHash, last),
    prologue,
    checks(version, migrations),
    ...migrations.map(migration),
    dropOutdated(sqlHash),
    functions,
    epilogue(version, sqlHash),
  ].join('\n');
}

/** The committed migrations in order. Throws when one was changed after it was committed. */
export function committedMigrations(folder = path.join(root, 'migrations/committed')): Migration[] {
  const files = readdirSync(folder).filter((file) => /^\d+(-.*)?\.sql$/.test(file));
  let previous = '';
  return files.sort().map((file) => {
    const match = /^--! Previous: (\S+)\n--! Hash: (\S+)\n(?:--! Message: .*\n)?\n([\s\S]*)$/.exec(
      readText(path.join(folder, file)),
    );
    if (!match) throw new Error(`${file}: not as graphile-migrate commits it`);
    const [, parent = '', hash = '', text = ''] = match;
    const body = text.trim();
    // graphile-migrate's rule
    if (parent !== (previous || '-') || hash !== sha1(`${`${previous}\n${body}`.trim()}\n`)) {
      throw new Error(`${file} was changed after it was committed: its hash or its parent's is wrong`);
    }
    if (/:DATABASE_(NAME|OWNER)\b|^--!\s*no-transaction/m.test(body)) {
      throw new Error(`${file}: placeholders and no-transaction cannot be installed by install.sql`);
    }
    previous = hash;
    return { name: file.replace(/^(\d+).*$/, '$1.sql'), hash, body };
  });
}

/** The migration being written, none when it is blank. */
export function currentMigration(): Migration[] {
  const body = read('migrations/current.sql').trim();
  return body.replace(/^--.*$/gm, '').trim() === '' ? [] : [{ name: 'current.sql', hash: sha1(body), body }];
}

/** Every file of sql/, in the order it is installed. */
export function sqlFiles(): string[] {
  const files = folders.flatMap((folder) =>
    readdirSync(path.join(root, 'sql', folder)).map((file) => `${folder}/${file}`),
  );
  return files.filter((file) => file.endsWith('.sql')).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** grant_execute and create_roles are used by all others; views may be used in a function's declaration. */
function rank(file: string): number {
  const first = ['internal/grant_execute.sql', 'internal/create_roles.sql'].indexOf(file);
  if (first >= 0) return first;
  const folder = folders.findIndex((name) => file.startsWith(`${name}/`));
  return 10 + folder + (folder > 0 && isView(file) ? -0.5 : 0);
}

function isView(file: string): boolean {
  return /^create (or replace )?view /m.test(read(`sql/${file}`));
}

function functionsScript(): string {
  const parts = sqlFiles().map((file) => {
    const text = quiet(read(`sql/${file}`).trim());
    const roles = file === 'internal/create_roles.sql' ? '\n\ndo $$ begin perform pgmill.create_roles(); end $$;' : '';
    return `-- file: sql/${file}\n\n${text}${roles}\n`;
  });
  return parts.join('\n');
}

/** A select at the top level would make psql print a row. */
function quiet(text: string): string {
  return text.replace(
    /^select (pgmill\.grant_execute\([^;]*\));$/gm,
    (_, call) => `do $$ begin perform ${call}; end $$;`,
  );
}

function header(version: string, sqlHash: string, last: Migration | undefined): string {
  return `-- pgmill ${version}: installs it, or brings an older one up to date. Run it as often as you like:
--
--   psql -v ON_ERROR_STOP=1 -f install.sql
--
-- One transaction; several at once wait for each other. Needs no superuser: the right to create a schema is enough.
-- Made by sql/generate-install.ts: change migrations/ and sql/, not this file.
--
-- Version: ${version}
-- Functions: ${sqlHash}
-- Migrations: ${last ? `${last.name} ${last.hash}` : 'none'}
`;
}

const prologue = `begin isolation level read committed read write;

set local client_min_messages = warning;
set local search_path = pg_catalog, pg_temp;
set local standard_conforming_strings = on;
set local statement_timeout = 0;
set local lock_timeout = 0;

do $$ begin perform pg_advisory_xact_lock(${installLock}); end $$;

do $$ begin
  if to_regnamespace('pgmill') is null then
    create schema pgmill;
  end if;
end $$;

-- The migrations this database has had. Their hashes form a chain.
create table if not exists pgmill.migration (
  name       text        primary key,
  hash       text        not null,
  applied_at timestamptz not null default now()
);

-- What is installed: one row.
create table if not exists pgmill.installed (
  one          boolean     primary key default true check (one),
  version      text        not null,
  sql_hash     text        not null,  -- of all of sql/
  installed_at timestamptz not null default now()
);
`;

function checks(version: string, migrations: Migration[]): string {
  const ours = migrations.map(({ name, hash }) => `('${name}', '${hash}')`).join(', ');
  const known = ours === '' ? `(select ''::text, ''::text where false)` : `(values ${ours})`;
  return `-- Refuses a database that is newer than this script, or whose history is not this script's.
do $$
declare
  v_version text := (select i.version from pgmill.installed i);
  v_name    text;
begin
  if string_to_array(regexp_replace(v_version, '[-+].*', ''), '.')::int[]
     > string_to_array(regexp_replace('${version}', '[-+].*', ''), '.')::int[] then
    raise exception using errcode = 'PM101',
      message = format('This database has pgmill %s, which is newer than ${version}.', v_version),
      hint = 'Install with that version of pgmill or a newer one.';
  end if;

  select m.name into v_name from pgmill.migration m
  where m.name not in (select k.name from ${known} as k(name, hash))
  order by m.name limit 1;
  if found then
    raise exception using errcode = 'PM101',
      message = format('This database has had migration %s, which pgmill ${version} does not know.', v_name),
      hint = 'Install with the newer version of pgmill that made it.';
  end if;

  select m.name into v_name from pgmill.migration m join ${known} as k(name, hash) on k.name = m.name
  where k.hash <> m.hash
  order by m.name limit 1;
  if found then
    raise exception using errcode = 'PM102',
      message = format('Migration %s is not the one this database has had.', v_name),
      hint = 'A committed migration must never change. Install from a released version of pgmill.';
  end if;
end
$$;
`;
}

function migration({ name, hash, body }: Migration): string {
  return `-- file: migrations/${name}

do $pgmill_run$
begin
  if exists (select from pgmill.migration m where m.name = '${name}') then
    return;
  end if;
  execute ${quote(`\n${body}\n`)};
  insert into pgmill.migration (name, hash) values ('${name}', '${hash}');
end
$pgmill_run$;
`;
}

function dropOutdated(sqlHash: string): string {
  return `-- When sql/ changed: drops the views and functions, because a new form cannot replace an old one. What something of
-- the user's depends on stays, and is replaced below.
do $$
declare
  v_drop text;
begin
  if '${sqlHash}' = (select i.sql_hash from pgmill.installed i) then
    return;
  end if;
  -- Twice, because functions may return the rows of a view, and views may call functions.
  for v_drop in
    select each.command
    from (
      select format('drop view %s', c.oid::regclass) as command, 1 as kind, c.oid
      from pg_class c
      where c.relnamespace = 'pgmill'::regnamespace and c.relkind = 'v'
      union all
      select format('drop %s %s', case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure), 2, p.oid
      from pg_proc p
      where p.pronamespace = 'pgmill'::regnamespace and p.prokind in ('f', 'p')
    ) each
    cross join generate_series(1, 2) round
    order by round, each.kind, each.oid desc
  loop
    begin
      execute v_drop;
    exception
      when dependent_objects_still_exist or undefined_function or undefined_table then null;
    end;
  end loop;
end
$$;
`;
}

function epilogue(version: string, sqlHash: string): string {
  return `-- file: the end

do $$ begin perform pgmill.add_partitions(); end $$;

insert into pgmill.installed (version, sql_hash) values ('${version}', '${sqlHash}')
on conflict (one) do update
set version = excluded.version, sql_hash = excluded.sql_hash, installed_at = now()
where (installed.version, installed.sql_hash) is distinct from (excluded.version, excluded.sql_hash);

commit;
`;
}

/** A dollar-quoted string. */
function quote(text: string): string {
  let tag = '$pgmill$';
  for (let n = 1; text.includes(tag) || text.includes('$pgmill_run$'); n++) {
    if (text.includes('$pgmill_run$')) throw new Error('a migration must not contain $pgmill_run$');
    tag = `$pgmill${n}$`;
  }
  return tag + text + tag;
}

function sha1(text: string): string {
  return `sha1:${createHash('sha1').update(text).digest('hex')}`;
}

function read(file: string): string {
  return readText(path.join(root, file));
}

function readText(file: string): string {
  return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
}

function main(): void {
  const file = path.join(root, 'sql/install.sql');
  const text = installScript();
  const current = existsSync(file) && readText(file) === text;
  if (current) return;
  if (process.argv.includes('--check')) {
    console.error('sql/install.sql is not current: npm run generate');
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
