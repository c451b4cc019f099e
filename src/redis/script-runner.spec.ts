import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { LockKeys } from '../lock/lock.keys.js';
import { LockService } from '../lock/lock.service.js';
import { CALL_TIMEOUT_MS } from './connection-options.js';
import { RedisClock } from './redis-clock.js';
import { defineScript } from './script.js';
import { ScriptRunner } from './script-runner.js';

describe('a script', () => {
  it('runs although Redis forgets all scripts in the middle', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const locks = app.get(LockService);
    for (let round = 0; round < 5; round += 1) {
      const granted = Promise.all(
        Array.from({ length: 40 }, () => locks.acquire(newProject(), 'a', { ttlMs: 60_000 })),
      );
      await app.state.script('FLUSH');
      const tokens = (await granted).map(({ token }) => token);
      expect(new Set(tokens).size).toBe(40);
    }
  });

  it('does nothing when a frozen Redis runs it after its caller has given up', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const locks = app.get(LockService);
    const projectId = newProject();
    // Redis knows the script now, so that the late call is one EVALSHA.
    await locks.acquire(newProject(), 'a', { ttlMs: 60_000 });
    await app.state.config('RESETSTAT');

    await redis.freeze();
    await expect(locks.acquire(projectId, 'a', { ttlMs: 60_000 })).rejects.toMatchObject({ code: 'redis_unavailable' });
    await redis.thaw();

    // Redis has run it …
    await until(
      async () => /cmdstat_evalsha:calls=[1-9]/.test(String(await app.state.info('commandstats'))),
      'the late call',
    );
    // … and the lock is free.
    expect(await app.state.exists(app.get(LockKeys).lock(projectId, 'a'))).toBe(0);
    await until(
      () =>
        locks.acquire(projectId, 'a', { ttlMs: 60_000 }).then(
          () => true,
          () => false,
        ),
      'the lock',
    );
  });

  it('may take longer when it brings much', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const dir = await mkdtemp(join(tmpdir(), 'document-api-script-'));
    const file = pathToFileURL(join(dir, 'not-after.lua'));
    await writeFile(file, 'return ARGV[1]');
    const notAfter = defineScript({ op: 'test.not-after', file, role: 'state', keys: [], args: ['value'] });
    await rm(dir, { recursive: true });

    const budget = async (value: string): Promise<number> => {
      const before = app.get(RedisClock).now('state');
      return Number(await app.get(ScriptRunner).run(notAfter, { keys: {}, args: { value } })) - before;
    };
    expect(await budget('x')).toBeGreaterThanOrEqual(CALL_TIMEOUT_MS);
    expect(await budget('x'.repeat(4_096_000))).toBeGreaterThanOrEqual(CALL_TIMEOUT_MS + 1000);
  });
});
