// `npm run soak [-- test/quota test/soak/queue …]`: the proofs at full size: what `npm test` runs scaled down. Prints the figures, and the
// seed with which SEED=… repeats the run.
import './lib/node-version.mjs';
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { ROOT, ensureBuild, ensurePackages } from './lib/prepare.mjs';
import { ensureRedisServer } from './lib/redis-server.mjs';

const chosen = process.argv.slice(2);
const seed = process.env.SEED ?? String(randomInt(2 ** 31));

process.chdir(ROOT);
ensurePackages();
ensureRedisServer();
ensureBuild();
console.log(`SEED=${seed}`);
// One file after the other: each has the machine to itself.
const { status } = spawnSync(
  'node_modules/.bin/vitest',
  [
    'run',
    '--no-file-parallelism',
    ...(chosen.length > 0 ? chosen : ['test/quota', 'test/queue/model', 'test/lock', 'test/progress', 'test/soak']),
  ],
  { stdio: 'inherit', env: { ...process.env, SOAK: '1', SEED: seed } },
);
console.log(`SEED=${seed}`);
process.exit(status ?? 1);
