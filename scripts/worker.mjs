// `npm run worker`: examples/embeddings as a second process beside `npm start`. Start as many as you like.
import './lib/node-version.mjs';
import { REDIS_PORT, developmentEnvironment, developmentSecrets, namesRedis } from './lib/development.mjs';
import { ensureExample, importExample } from './lib/example.mjs';
import { Failure } from './lib/failure.mjs';
import { takeMark } from './lib/mark.mjs';
import { isPortFree } from './lib/ports.mjs';
import { ROOT } from './lib/prepare.mjs';

process.chdir(ROOT);
try {
  // Tells the demo that it need not start one; which of several workers holds it does not matter.
  await takeMark('worker');
  if (!namesRedis(process.env) && (await isPortFree(REDIS_PORT))) {
    throw new Failure(
      `Nothing listens on 127.0.0.1:${REDIS_PORT}, where the API has its Redis: run \`npm start\` first.`,
    );
  }
  await ensureExample();
  Object.assign(process.env, developmentEnvironment(process.env, developmentSecrets()));
  process.env.LOG_LEVEL ||= 'warn';
  process.setSourceMapsEnabled(true);
  console.log(`Worker ${process.pid} loads the model …`);
  const { startWorker } = await importExample('worker.js');
  await startWorker(process.env);
  console.log(
    `Worker ${process.pid} works on the queue embeddings. Ctrl-C stops it; kill -9 ${process.pid} and its jobs come back.`,
  );
} catch (error) {
  console.error(error instanceof Failure ? error.message : error);
  process.exit(1);
}
