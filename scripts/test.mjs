// `npm test`: everything, from a fresh clone on. `npm test -- src/quota` runs a part, without the checks before it.
import './lib/node-version.mjs';
import { spawnSync } from 'node:child_process';
import { Failure } from './lib/failure.mjs';
import { ROOT, ensureBuild, ensurePackages } from './lib/prepare.mjs';
import { ensureRedisServer } from './lib/redis-server.mjs';

const selection = process.argv.slice(2);

process.chdir(ROOT);
try {
  ensurePackages();
  ensureRedisServer();
  ensureBuild();
  if (selection.length === 0 && run('npm', ['run', '--silent', 'lint']) !== 0) throw new Failure('Lint failed.');
} catch (error) {
  console.error(error instanceof Failure ? error.message : error);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
process.exit(run('node_modules/.bin/vitest', ['run', ...selection]));

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {number} its exit code; 1 when a signal ended it
 */
function run(command, args) {
  return spawnSync(command, args, { stdio: 'inherit' }).status ?? 1;
}
