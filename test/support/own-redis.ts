import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RedisRole, type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';

/** A Redis server of one test's own, to freeze, fill and kill without harming the others. Ends with the test. */
export async function ownRedis(
  role: RedisRole = 'single',
  env: Record<string, string> = {},
): Promise<RedisServer & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'document-api-own-redis-'));
  const server = await startRedis({
    role,
    dir,
    env,
    passwords: { admin: 'admin-of-the-test', app: 'app-of-the-test' },
  });
  return Object.assign(server, {
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  });
}
