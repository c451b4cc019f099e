// The same cached value behind our cache and behind what a team would pick from the shelf. Each checks what it reads with the
// same class: ours by itself, the others as their user would.
import 'reflect-metadata';
import KeyvRedis from '@keyv/redis';
import { bentostore, BentoCache } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { createCache } from 'cache-manager';
import { plainToInstance } from 'class-transformer';
import { IsInt, IsString, validateSync } from 'class-validator';
import { Redis } from 'ioredis';
import { Keyv } from 'keyv';

export class Article {}
IsString()(Article.prototype, 'id');
IsString()(Article.prototype, 'title');
IsString()(Article.prototype, 'content');
IsInt()(Article.prototype, 'version');

export const TTL_MS = 600_000;

export function article(id) {
  return { id, title: 'An article', content: 'Some words of an article. '.repeat(40), version: 1 };
}

function checked(plain) {
  const value = plainToInstance(Article, plain);
  if (validateSync(value).length > 0) throw new Error('not valid');
  return value;
}

async function ours(url, withMemory) {
  const { startApplication } = await import('../application.mjs');
  const { CacheService } = await import('../../dist/cache/cache.service.js');
  const { EntryType } = await import('../../dist/cache/entry/entry-type.js');
  const app = await startApplication(url.app, { CACHE_L1: withMemory ? 'on' : 'off' });
  const cache = app.get(CacheService);
  const type = new EntryType({ name: 'article', type: Article, ttlMs: TTL_MS, earlyRefresh: 0, l1: withMemory });
  return {
    get: (projectId, id, load) => cache.getOrLoad(projectId, type.of(id), load),
    stop: () => app.stop(),
  };
}

async function bento(url, withMemory) {
  const connection = new Redis(url.admin);
  let store = bentostore();
  if (withMemory) store = store.useL1Layer(memoryDriver({ maxSize: '50mb', maxItems: 10_000 }));
  store = store.useL2Layer(redisDriver({ connection }));
  if (withMemory) store = store.useBus(redisBusDriver({ connection: { ...connection.options } }));
  const cache = new BentoCache({ default: 'all', stores: { all: store } });
  return {
    get: async (projectId, id, factory) =>
      checked(await cache.getOrSet({ key: `${projectId}:${id}`, factory, ttl: TTL_MS })),
    stop: () => cache.disconnectAll(),
  };
}

async function cacheManager(url) {
  const cache = createCache({ stores: [new Keyv({ store: new KeyvRedis(url.admin) })] });
  return {
    get: async (projectId, id, load) => checked(await cache.wrap(`${projectId}:${id}`, load, TTL_MS)),
    stop: () => cache.disconnect(),
  };
}

/** By name. `@nestjs/cache-manager` injects exactly this object of cache-manager. */
export const STORES = {
  ours: (url) => ours(url, false),
  'ours, L1 and L2': (url) => ours(url, true),
  'bentocache, L2': (url) => bento(url, false),
  'bentocache, L1 and L2': (url) => bento(url, true),
  '@nestjs/cache-manager on @keyv/redis': cacheManager,
};
