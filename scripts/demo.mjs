// `npm run demo -- [folder] [--ask "…"]`: the whole product at work on a folder of Markdown or text files.
import './lib/node-version.mjs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DemoWorker } from './lib/demo-worker.mjs';
import { developmentEnvironment, developmentSecrets, developmentToken } from './lib/development.mjs';
import { ensureExample, importExample } from './lib/example.mjs';
import { Failure } from './lib/failure.mjs';
import { ROOT } from './lib/prepare.mjs';

main().then(
  (complete) => process.exit(complete ? 0 : 1),
  (error) => {
    // A refusal of the API is a sentence for people, too.
    console.error(error instanceof Failure || error.name === 'Problem' ? error.message : error);
    process.exit(1);
  },
);

async function main() {
  const { folder, question } = choices();
  process.chdir(ROOT);
  const { url, projectId, token, isOurs } = await runningApi();
  await ensureExample();
  /** @type {typeof import('../examples/embeddings/src/demo/index.js')} */
  const { ProjectApi, Screen, demo, documentsOf } = await importExample('demo/index.js');

  const documents = await documentsOf(folder).catch((/** @type {Error} */ error) => {
    throw new Failure(`${folder} cannot be read: ${error.message}.`);
  });
  if (documents.length === 0) throw new Failure(`There is no Markdown or text file in ${folder}.`);

  const screen = new Screen(process.stdout);
  const worker = new DemoWorker((line) => screen.line(line));
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => worker.stop().then(() => process.exit(1)));
  }
  try {
    if (isOurs) await worker.ensure();
    const api = new ProjectApi(url, projectId, `Bearer ${token}`);
    const onIdle = isOurs ? () => worker.ensure() : undefined;
    return await Promise.race([demo({ api, documents, screen, question, onIdle }), worker.failed]);
  } finally {
    await worker.stop();
  }
}

/** What to read and what to ask: by default the project's own documents. */
function choices() {
  try {
    const { positionals, values } = parseArgs({ options: { ask: { type: 'string' } }, allowPositionals: true });
    const [given, ...more] = positionals;
    if (more.length > 0) throw new TypeError(`One folder is enough: ${positionals.join(', ')}`);
    const folder = given === undefined ? ROOT : resolve(given);
    const question = values.ask ?? (given === undefined ? 'how are keys named?' : undefined);
    return { folder, question };
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.split('. ');
    throw new Failure(`${reason}.\nUsage: npm run demo -- [folder] [--ask "your question"]`);
  }
}

/** The API of `npm start` in this folder, or the one that the environment names. */
async function runningApi() {
  const { API_URL, PROJECT_ID, API_TOKEN } = process.env;
  const secrets = developmentSecrets();
  const settings = developmentEnvironment(process.env, secrets);
  const url = (API_URL || `http://${settings.HOST}:${settings.PORT}`).replace(/\/$/, '');
  const projectId = PROJECT_ID || secrets.projectId;
  const token = API_TOKEN || developmentToken(settings, projectId);
  if (!token)
    throw new Failure('AUTH_JWKS_URL is set, so only its key server can make a token: set API_TOKEN and PROJECT_ID.');
  const answer = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);
  if (!answer) throw new Failure(`No API answers on ${url}: run \`npm start\` first, in another terminal.`);
  return { url, projectId, token, isOurs: !API_URL };
}
