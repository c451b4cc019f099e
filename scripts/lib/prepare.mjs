import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failure } from './failure.mjs';

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Runs `npm ci` when the installed packages are not those of the lock file. A folder that is only linked here is shared
 * with others and is theirs to change.
 */
export function ensurePackages() {
  if (lstatSync(join(ROOT, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink() || packagesAreCurrent())
    return;
  console.error('Installing packages …');
  // With NODE_ENV=production in the environment npm would leave out what builds the project. No package needs its install
  // script, and so none gets to run one.
  run(
    'npm',
    ['ci', '--include=dev', '--ignore-scripts', '--loglevel=error'],
    'Installing the packages failed (npm ci, see above).',
  );
}

/** Builds when `dist` is missing or older than what it is made of. */
export function ensureBuild() {
  const built = modified(join(ROOT, 'dist/main.js'));
  const sources = ['src', 'nest-cli.json', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  if (built > 0 && sources.every((source) => newest(join(ROOT, source)) <= built)) return;
  console.error('Building …');
  run('npm', ['run', '--silent', 'build'], 'The build failed (npm run build, see above).');
}

/**
 * Compares contents, not times: switching branches touches files without changing them. npm keeps its own lock file of
 * what it has installed; optional packages may be missing there, because they are for other systems.
 */
function packagesAreCurrent() {
  const wanted = lockedPackages('package-lock.json');
  const installed = lockedPackages('node_modules/.package-lock.json');
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional }]) =>
      path === '' || optional || devOptional || installed[path]?.version === version,
  );
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>}
 */
function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), 'utf8')).packages;
  } catch {
    return {};
  }
}

/**
 * The time of the last change in a file or folder; a folder's own time tells of removed files. Tests are no source.
 *
 * @param {string} path
 * @returns {number}
 */
function newest(path) {
  const entry = statSync(path);
  if (!entry.isDirectory()) return path.endsWith('.spec.ts') ? 0 : entry.mtimeMs;
  return Math.max(entry.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** @param {string} path */
function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/**
 * Runs a command in the project's folder with our terminal; its output on standard output goes to standard error.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {string} failure
 */
function run(command, args, failure) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['inherit', 2, 'inherit'] });
  if (status !== 0) throw new Failure(failure);
}
