// `npm start`: everything that the API needs, on this machine alone; Ctrl-C ends all of it.
import './lib/node-version.mjs';
import { join, relative } from 'node:path';
import { startApi } from './lib/api-process.mjs';
import {
  DATA_FOLDER,
  REDIS_PORT,
  developmentEnvironment,
  developmentSecrets,
  developmentToken,
  namesRedis,
} from './lib/development.mjs';
import { Failure } from './lib/failure.mjs';
import { isPortFree } from './lib/ports.mjs';
import { ROOT, ensureBuild, ensurePackages } from './lib/prepare.mjs';
import { startRedis } from './lib/redis-server.mjs';
import { claimFolder } from './lib/single-start.mjs';

/** @typedef {{ stop(): Promise<void> }} Stoppable */

/** What runs, in the order in which it was started; it is stopped the other way round. @type {Stoppable[]} */
const running = [];
/** @type {Promise<never> | undefined} */
let ending;

process.chdir(ROOT);
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => end(0));
endWithNpm();
main().catch((error) => {
  console.error(error instanceof Failure ? error.message : error);
  return end(1);
});

async function main() {
  const secrets = developmentSecrets();
  const settings = developmentEnvironment(process.env, secrets);
  await claimFolder();
  await requireApiPort(settings);
  ensurePackages();
  ensureBuild();
  if (!namesRedis(process.env)) await ownRedis(secrets);

  const api = startApi(settings, join(DATA_FOLDER, 'api.log'));
  running.push(api);
  let isUp = false;
  api.exited.then((code) => {
    // A start that fails has said why, in one line, on our standard error.
    if (isUp && !ending) console.error(`The API ended unexpectedly; its log is ${inRoot(DATA_FOLDER, 'api.log')}.`);
    return end(code);
  });
  await api.ready;
  if (ending) return;
  isUp = true;
  console.log(welcome(api.url, settings, secrets.projectId));
}

/** @param {import('./lib/development.mjs').DevelopmentSecrets} secrets */
async function ownRedis({ adminPassword, appPassword }) {
  const redis = await startRedis({
    role: 'single',
    port: REDIS_PORT,
    dir: join(DATA_FOLDER, 'redis'),
    passwords: { admin: adminPassword, app: appPassword },
    replace: true,
  });
  running.push(redis);
  redis.exited.then(() => {
    if (!ending) console.error(`Redis ended unexpectedly; its log is ${inRoot(DATA_FOLDER, 'redis/redis.log')}.`);
    return end(1);
  });
}

/**
 * Before anything is installed or started. A port that is no number is the API's to refuse.
 *
 * @param {NodeJS.ProcessEnv} settings
 */
async function requireApiPort({ HOST, PORT }) {
  const port = Number(PORT);
  if (!Number.isInteger(port) || port < 1 || port > 65_535 || (await isPortFree(port, HOST))) return;
  throw new Failure(`Port ${port} on ${HOST} is in use by another program: stop it, or choose another with PORT=….`);
}

/**
 * @param {string} url
 * @param {NodeJS.ProcessEnv} settings
 * @param {string} projectId
 */
function welcome(url, settings, projectId) {
  const token = developmentToken(settings, projectId);
  const hasDocs = settings.DOCS ? /^(on|true)$/.test(settings.DOCS) : settings.NODE_ENV !== 'production';
  const base = `${url}/v1/projects/${projectId}`;
  const body = JSON.stringify({ title: 'Hello', content: 'My first document', version: 1 });
  return [
    '',
    `API       ${url}`,
    hasDocs && `OpenAPI   ${url}/docs`,
    // A URL from the environment may hold somebody's password; ours is for this machine alone.
    `Redis     ${namesRedis(process.env) ? 'the one that the environment names' : settings.REDIS_URL}`,
    `Log       ${inRoot(DATA_FOLDER, 'api.log')}`,
    token
      ? `\nexport BASE=${base}\nexport TOKEN=${token}`
      : 'Token     none: AUTH_JWKS_URL is set, so tokens come from there',
    token &&
      `\ncurl -X PUT ${base}/documents/hello -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '${body}'`,
    '\nCtrl-C stops everything.',
  ]
    .filter(Boolean)
    .join('\n');
}

/**
 * Stops what runs, the API before its Redis, then this process. A second call waits for the first.
 *
 * @param {number} code
 */
function end(code) {
  ending ??= (async () => {
    for (const process of running.reverse()) await process.stop();
    return process.exit(code);
  })();
  return ending;
}

/** When npm is killed and so cannot pass a signal on, its script must not stay behind alone. */
function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end(1), 500).unref();
}

/** @param {string[]} path */
function inRoot(...path) {
  return relative(ROOT, join(...path));
}
