import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Failure } from './failure.mjs';

const MINIMUM = { major: 7, minor: 0 };

/**
 * The path of a redis-server ≥ 7.0, installed with the system's package manager (apt-get or Homebrew) when there is none.
 * Several processes may call it at once.
 *
 * @returns {string}
 * @throws {Failure} when it is too old, or missing and cannot be installed
 */
export function ensureRedisServer() {
  return (
    checked(which('redis-server')) ??
    checked(install()) ??
    fail('no package manager for it (apt-get, Homebrew) was found')
  );
}

/** @returns {string | undefined} */
function install() {
  if (which('apt-get')) installWithApt();
  else if (which('brew')) run('brew', ['install', 'redis']);
  return which('redis-server');
}

function installWithApt() {
  const script = ['-euc', APT_SCRIPT];
  if (process.getuid?.() === 0) run('sh', script);
  else if (which('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0)
    run('sudo', ['-n', 'sh', ...script]);
  else fail('installing it needs root');
}

/**
 * The lock lets one of several callers install while the others wait. The policy file keeps Debian's own server from
 * starting on port 6379, and it is disabled for later boots; a service that was there before is never touched, because
 * then redis-server is found and this script does not run.
 */
const APT_SCRIPT = `
  exec 9>/var/lock/install-redis-server
  flock 9
  command -v redis-server >/dev/null && exit 0
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\\nexit 101\\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends redis-server
  update-rc.d redis-server disable >/dev/null 2>&1 || true
`;

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  console.error('Installing redis-server …');
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return;
  console.error(error?.message ?? `${stdout}\n${stderr}`.trim().split('\n').slice(-5).join('\n'));
  fail('the package manager failed (see above)');
}

/**
 * @param {string | undefined} path
 * @returns {string | undefined} the path, when there is one
 */
function checked(path) {
  if (path === undefined) return undefined;
  const printed = spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  const version = /v=(\d+)\.(\d+)\S*/.exec(printed);
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  if (major > MINIMUM.major || (major === MINIMUM.major && minor >= MINIMUM.minor)) return path;
  throw new Failure(
    `Redis 7.0 or newer is needed, but ${path} is ${version?.[0].slice(2) ?? 'of an unknown version'}; ` +
      'install a newer one (https://redis.io/docs/latest/operate/oss_and_stack/install/).',
  );
}

/**
 * @param {string} reason
 * @returns {never}
 */
function fail(reason) {
  throw new Failure(
    `redis-server 7.0 or newer is needed, none is on the PATH, and ${reason}: install it, then try again.`,
  );
}

/**
 * @param {string} command
 * @returns {string | undefined} its path, when it is on the PATH
 */
function which(command) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next folder may have it.
    }
  }
  return undefined;
}
