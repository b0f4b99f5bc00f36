// Packs the package as `npm publish` would and uses it as somebody else does: what is in it, publint, attw, and an
// otherwise empty project that compiles against it and runs it. Needs no network: the project gets links to the
// dependencies that package.json names, and nothing else.
//
//   npm run check:package
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { installScript } from '../../sql/generate-install.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = path.join(root, 'node_modules');
const folder = mkdtempSync(path.join(tmpdir(), 'pgmill-package-'));
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const problems: string[] = [];
try {
  const stage = build();
  const tarball = pack(stage);
  const installed = unpack(tarball);
  checkFiles(installed);
  await checkManifest(installed);
  run('attw', [
    path.join(modules, '@arethetypeswrong/cli/dist/index.js'),
    tarball,
    '--profile',
    'esm-only',
    '--exclude-entrypoints',
    'install.sql',
    '--no-emoji',
  ]);
  useIt();
} catch (error) {
  problems.push(error instanceof Error ? error.message : String(error));
}
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'the package is ready' : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** What `npm run build` makes, in a folder of its own, so that nothing in the tree changes. */
function build(): string {
  const stage = path.join(folder, 'stage');
  run('tsc', [path.join(modules, 'typescript/bin/tsc'), '-p', 'client', '--outDir', path.join(stage, 'dist')]);
  cpSync(path.join(root, 'sql'), path.join(stage, 'sql'), { recursive: true });
  writeFileSync(path.join(stage, 'sql/install.sql'), installScript());
  for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json'])
    cpSync(path.join(root, file), path.join(stage, file));
  chmodSync(path.join(stage, manifest.bin.pgmill), 0o755);
  return stage;
}

function pack(stage: string): string {
  const npm = spawnSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
    cwd: stage,
    encoding: 'utf8',
  });
  if (npm.status !== 0) throw new Error(`npm pack failed:\n${npm.stderr}`);
  return path.join(folder, `${manifest.name}-${manifest.version}.tgz`);
}

/** Puts the package and links to its dependencies into the node_modules of an empty project. */
function unpack(tarball: string): string {
  const target = path.join(folder, 'project/node_modules');
  const installed = path.join(target, manifest.name);
  mkdirSync(installed, { recursive: true });
  const tar = spawnSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'], { encoding: 'utf8' });
  if (tar.status !== 0) throw new Error(`tar failed: ${tar.stderr}`);
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(path.dirname(path.join(target, name)), { recursive: true });
    symlinkSync(path.join(modules, name), path.join(target, name));
  }
  return installed;
}

function checkFiles(installed: string): void {
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(path.join(installed, file)).isFile(),
  );
  const wanted = [
    'package.json',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'sql/install.sql',
    'sql/producer/add_job.sql',
    'sql/README.md',
  ];
  for (const file of [...wanted, manifest.bin.pgmill, 'dist/index.js', 'dist/index.d.ts']) {
    if (!files.includes(file)) problems.push(`the package lacks ${file}`);
  }
  for (const file of files) {
    const known = wanted.includes(file) || /^dist\/.*\.(js|d\.ts)$/.test(file) || /^sql\/\w+\/\w+\.sql$/.test(file);
    if (!known) problems.push(`the package holds ${file}, which does not belong in it`);
    const mode = statSync(path.join(installed, file)).mode & 0o777;
    if (mode !== (file === manifest.bin.pgmill ? 0o755 : 0o644)) problems.push(`${file} has mode ${mode.toString(8)}`);
  }
}

async function checkManifest(installed: string): Promise<void> {
  const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false });
  for (const message of messages) problems.push(`publint: ${formatMessage(message, pkg ?? {})}`);
}

function useIt(): void {
  const project = path.join(folder, 'project');
  const options = {
    module: 'nodenext',
    target: 'es2022',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    types: [],
    noEmit: true,
  };
  writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    path.join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, include: ['main.ts'] }),
  );
  writeFileSync(
    path.join(project, 'main.ts'),
    `import { PgMill } from 'pgmill';
const mill = new PgMill<{ greet: { name: string } }>({ connectionString: 'postgres://127.0.0.1:1/none' });
// @ts-expect-error: the payload map knows no such job
const wrong = () => mill.addJob('nothing', {});
const right: Promise<string> = mill.addJob('greet', { name: 'you' }).catch((error: Error) => error.message);
await right;
await mill.close();
export { wrong };
`,
  );
  run('a project that uses it', [path.join(modules, 'typescript/bin/tsc'), '-p', project]);
  const script = `
    import { PgMill } from 'pgmill';
    import { statSync } from 'node:fs';
    if (typeof PgMill !== 'function') throw new Error('PgMill is no class');
    statSync(new URL(import.meta.resolve('pgmill/install.sql')));
  `;
  run('import', ['--input-type=module', '--eval', script], project);
  run('pgmill --help', [path.join(project, 'node_modules/pgmill', manifest.bin.pgmill), '--help'], project);
}

/** Runs node; the output counts only when it fails. */
function run(name: string, args: string[], cwd = root): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  if (status !== 0) problems.push(`${name} failed:\n${stdout}${stderr}`);
}
