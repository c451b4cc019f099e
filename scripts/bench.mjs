// `npm run bench [-- name …]`: side by side with what a user would pick instead, on a Redis server of its own.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis } from './lib/redis-server.mjs';

const root = join(import.meta.dirname, '..');
process.chdir(root);
const all = readdirSync('bench', { withFileTypes: true })
  .filter((entry) => existsSync(join('bench', entry.name, 'run.mjs')))
  .map((entry) => entry.name);
const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !all.includes(name));
if (unknown) {
  process.stderr.write(`There is no benchmark ${unknown}; there are: ${all.join(', ')}.\n`);
  process.exit(2);
}

/** @type {(command: string, args: string[], cwd?: string) => unknown} */
const run = (command, args, cwd = root) => execFileSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
// Not `npm ci`: a peer names packages for other platforms that a registry may lack, and then refuses the whole lock file.
run('npm', ['install', '--no-save', '--ignore-scripts', '--loglevel=error'], join(root, 'bench'));
run('npm', ['run', 'build', '--silent']);
run(process.execPath, ['bench/node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json']);

const dir = await mkdtemp(join(tmpdir(), 'document-api-bench-'));
const redis = await startRedis({ role: 'single', dir, passwords: { admin: 'bench-admin', app: 'bench-app' } });
try {
  for (const name of chosen.length > 0 ? chosen : all) {
    const { default: bench } = await import(`../bench/${name}/run.mjs`);
    await bench({ redis });
  }
} finally {
  await redis.stop();
  await rm(dir, { recursive: true, force: true });
}
