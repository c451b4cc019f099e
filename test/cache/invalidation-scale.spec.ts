import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { CacheKeys } from '../../src/cache/cache.keys.js';
import { CacheService } from '../../src/cache/cache.service.js';
import { CacheSweeper } from '../../src/cache/cache.sweeper.js';
import type { ProjectId } from '../../src/common/project-id.js';
import { TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { figure, percentile, scaled } from '../support/scale.js';
import { TIMEOUT_MS } from './scale.js';

const MINE = scaled(1000, 100_000);
const OTHERS = scaled(4000, 400_000);
const BATCH = 2000;
/** What Redis may hold for its connections. */
const BUFFERS_MIB = 4;

const document = (id: string): string =>
  JSON.stringify({ id, title: `Document ${id}`, content: 'some text '.repeat(20), version: 1 });

/** Other programs' writes, 2,000 a round trip. */
async function fill(cache: Redis, projectId: ProjectId, count: number): Promise<void> {
  for (let i = 0; i < count; i += BATCH) {
    const batch = cache.pipeline();
    for (let j = i; j < Math.min(i + BATCH, count); j += 1) {
      batch.setex(`proj:${projectId}:doc:d${j}`, 86_400, document(`d${j}`));
    }
    await batch.exec();
  }
}

/** @returns a digest of what `DUMP` says of every document of the project. */
async function digest(cache: Redis, projectId: ProjectId, count: number): Promise<string> {
  const sum = createHash('sha256');
  for (let i = 0; i < count; i += BATCH) {
    const batch = cache.pipeline();
    for (let j = i; j < Math.min(i + BATCH, count); j += 1) batch.dumpBuffer(`proj:${projectId}:doc:d${j}`);
    for (const [, dump] of (await batch.exec())!) sum.update((dump as Buffer | null) ?? 'gone');
  }
  return sum.digest('hex');
}

async function memory(cache: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(String(await cache.info('memory')))![1]) / 1024 ** 2;
}

/** @returns how many scripts a server has been told to run. */
async function scripts(server: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(String(await server.info('commandstats')))?.[1] ?? 0);
}

it(
  'an invalidation costs the same few commands whatever the project holds, and gives the memory back without touching others',
  async () => {
    await using state = await ownRedis('state');
    await using server = await ownRedis('cache');
    await using app = await TestApp.start({ servers: { state, cache: server } });
    const cache = app.get(CacheService);
    const keys = app.get(CacheKeys);
    const [mine, others] = [newProject(), newProject()];
    await fill(app.cache, others, OTHERS);
    const before = await memory(app.cache);
    await fill(app.cache, mine, MINE);
    const full = await memory(app.cache);
    const dump = await digest(app.cache, others, OTHERS);
    expect(await cache.get(mine, 'd7')).toBeDefined();

    const read = async (): Promise<number> => {
      const begin = performance.now();
      expect(await cache.get(others, `d${Math.floor(Math.random() * OTHERS)}`)).toBeDefined();
      return performance.now() - begin;
    };
    const quiet: number[] = [];
    for (let i = 0; i < scaled(50, 2000); i += 1) quiet.push(await read());

    // Sweepers are kept away, as if another process were at it, so that each of the calls finds the full project.
    await app.cache.setex(keys.sweeping(mine), 600, 'the test');
    const calls: number[] = [];
    const told = async (): Promise<number> => (await scripts(app.state)) + (await scripts(app.cache));
    const commands = await told();
    const times = scaled(20, 500);
    for (let i = 0; i < times; i += 1) {
      const begin = performance.now();
      await cache.invalidateAll(mine);
      calls.push(performance.now() - begin);
      expect(await cache.get(mine, `d${i}`)).toBeUndefined();
    }
    expect(await app.cache.exists(keys.doc(mine, 'd7'))).toBe(1);
    expect((await told()) - commands).toBe(2 * times);

    await app.cache.del(keys.sweeping(mine));
    app.get(CacheSweeper).sweep(mine);
    const begin = performance.now();
    let swept = 0;
    const done = until(
      async () => (await app.cache.get(keys.epoch(mine)))?.startsWith('clean'),
      'the sweep',
      TIMEOUT_MS,
    ).then(() => (swept = performance.now() - begin));
    const busy: number[] = [];
    while (swept === 0) busy.push(await read());
    await done;
    const rest = Math.max((full - before) / 10, BUFFERS_MIB);
    await until(async () => (await memory(app.cache)) < before + rest, 'the memory to be back');
    const back = performance.now() - begin;

    expect(await digest(app.cache, others, OTHERS)).toBe(dump);
    expect((await app.keysOf(mine)).filter((key) => key.includes(':doc:'))).toEqual([]);
    figure(`invalidating ${MINE} documents among ${OTHERS} of others`, {
      'a call p50': `${percentile(calls, 0.5).toFixed(2)} ms`,
      p99: `${percentile(calls, 0.99).toFixed(2)} ms`,
      'commands a call': 2,
      'swept after': `${(swept / 1000).toFixed(1)} s`,
      'memory back after': `${(back / 1000).toFixed(1)} s`,
      'of it': `${(full - before).toFixed(0)} MiB`,
      "another project's read p50/p99 before": `${percentile(quiet, 0.5).toFixed(2)}/${percentile(quiet, 0.99).toFixed(2)} ms`,
      meanwhile: `${percentile(busy, 0.5).toFixed(2)}/${percentile(busy, 0.99).toFixed(2)} ms`,
    });
  },
  TIMEOUT_MS,
);
