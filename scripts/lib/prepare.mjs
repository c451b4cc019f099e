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
 *
 * @param {string} [folder] where package.json stands
 * @param {string} [what] is being installed
 */
export function ensurePackages(folder = ROOT, what = 'packages') {
  const linked = lstatSync(join(folder, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink();
  if (linked || packagesAreCurrent(folder)) return;
  console.error(`Installing ${what} …`);
  // With NODE_ENV=production in the environment npm would leave out what builds the project. No package needs its install
  // script, and so none gets to run one.
  const command = ['ci', '--include=dev', '--ignore-scripts', '--loglevel=error'];
  run('npm', command, 'Installing the packages failed (npm ci, see above).', folder);
}

/** Builds when `dist` is missing or older than what it is made of. */
export function ensureBuild() {
  const sources = ['src', 'nest-cli.json', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  if (isCurrent('dist/main.js', sources)) return;
  console.error('Building …');
  run('npm', ['run', '--silent', 'build'], 'The build failed (npm run build, see above).');
}

/**
 * Whether a built file is there and as new as all of its sources.
 *
 * @param {string} built path below the project's folder, like the others
 * @param {string[]} sources files or folders
 */
export function isCurrent(built, sources) {
  const time = modified(join(ROOT, built));
  return time > 0 && sources.every((source) => newest(join(ROOT, source)) <= time);
}

/**
 * Compares contents, not times: switching branches touches files without changing them. npm keeps its own lock file of
 * what it has installed; optional packages may be missing there, because they are for other systems.
 *
 * @param {string} folder
 */
function packagesAreCurrent(folder) {
  const wanted = lockedPackages(join(folder, 'package-lock.json'));
  const installed = lockedPackages(join(folder, 'node_modules/.package-lock.json'));
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
    return JSON.parse(readFileSync(file, 'utf8')).packages;
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
 * Runs a command with our terminal; its output on standard output goes to standard error.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {string} failure
 * @param {string} [folder]
 */
export function run(command, args, failure, folder = ROOT) {
  const { status } = spawnSync(command, args, { cwd: folder, stdio: ['inherit', 2, 'inherit'] });
  if (status !== 0) throw new Failure(failure);
}
