// Rate limits and quotas against rate-limiter-flexible, and over HTTP against @nestjs/throttler, in turn, in one run.
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { NestFactory } from '../../node_modules/@nestjs/core/index.js';
import { Redis } from '../../node_modules/ioredis/built/index.js';
import { RateLimiterRedis, RateLimiterUnion } from 'rate-limiter-flexible';
import { AppModule } from '../../dist/app.module.js';
import { parseProjectId } from '../../dist/common/project-id.js';
import { loadConfig } from '../../dist/config/app-config.js';
import { QuotaService } from '../../dist/quota/quota.service.js';
import { print, SECRET } from '../support.mjs';
import { overHttp } from './http.mjs';
import { compare } from './rounds.mjs';
import { seriesCost } from './series.mjs';

const PROJECTS = 100;
const LIMIT = 1_000_000_000;
const WINDOW_SECONDS = 3600;
const ACTIONS = ['a', 'b', 'c', 'd', 'e', 'f'];

export default async function run({ redis }) {
  const bucket = { limit: LIMIT, window_seconds: WINDOW_SECONDS };
  const config = loadConfig({
    REDIS_URL: redis.appUrl,
    AUTH_JWT_SECRET: SECRET,
    LOG_LEVEL: 'fatal',
    RATE_LIMITS: JSON.stringify({
      ...Object.fromEntries(ACTIONS.map((action) => [action, bucket])),
      tight: { limit: 1, window_seconds: WINDOW_SECONDS },
    }),
    QUOTAS: JSON.stringify({
      tokens: { limits: { day: LIMIT }, bucket: { limit: LIMIT, window_seconds: 60 } },
      full: { limits: { minute: LIMIT, hour: LIMIT, day: LIMIT, month: LIMIT }, bucket },
    }),
  });
  const app = await NestFactory.createApplicationContext(AppModule.with(config), { logger: false });
  const quotas = app.get(QuotaService);
  // The client that ours has: the peer shall not lose by its client.
  const storeClient = new Redis(redis.adminUrl, { protocol: 2, enableAutoPipelining: true });

  const projects = Array.from({ length: PROJECTS }, () => parseProjectId(randomUUID()));
  const of = (i) => projects[i % PROJECTS];
  const rules = ACTIONS.map((action) => ({ action, cost: 1 }));
  const limiters = ACTIONS.map(
    (keyPrefix) => new RateLimiterRedis({ storeClient, keyPrefix, points: LIMIT, duration: WINDOW_SECONDS }),
  );
  const union = new RateLimiterUnion(limiters[0], limiters[1]);
  const resources = [
    { resource: 'full', amount: 1 },
    { action: 'a', cost: 1 },
  ];

  await compare('64 in flight, services against rate-limiter-flexible', {
    'one rule: consume of a rate limit / consume': [
      (i) => quotas.consumeRate(of(i), 'a'),
      (i) => limiters[0].consume(of(i)),
    ],
    'one rule: hit, as before each request / consume': [
      (i) => quotas.hit(of(i), rules.slice(0, 1)),
      (i) => limiters[0].consume(of(i)),
    ],
    'two rules: hit / RateLimiterUnion of two': [
      (i) => quotas.hit(of(i), rules.slice(0, 2)),
      (i) => union.consume(of(i)),
    ],
    'two rules: one call of consumeAll / RateLimiterUnion of two': [
      (i) => quotas.consumeAll(of(i), rules.slice(0, 2)),
      (i) => union.consume(of(i)),
    ],
    'six rules: hit / six consume in parallel': [
      (i) => quotas.hit(of(i), rules),
      (i) => Promise.all(limiters.map((limiter) => limiter.consume(of(i)))),
    ],
    'six rules: one call of consumeAll / six consume in parallel': [
      (i) => quotas.consumeAll(of(i), rules),
      (i) => Promise.all(limiters.map((limiter) => limiter.consume(of(i)))),
    ],
    'six rules of a quota and a limit: consumeAll / six consume': [
      (i) => quotas.consumeAll(of(i), resources),
      (i) => Promise.all(limiters.map((limiter) => limiter.consume(of(i)))),
    ],
  });

  await refusals(quotas, projects[0]);
  await seriesCost(redis, () => quotas.consume(projects[0], 'tokens', 1));
  storeClient.disconnect();
  await app.close();
  await overHttp(redis);
}

/** One caller that is refused all the time. */
async function refusals(quotas, projectId) {
  const refused = async () => {
    const { allowed } = await quotas.chargeRate(projectId, 'tight', 1, {});
    if (allowed) throw new Error('it was to be refused');
  };
  await quotas.consumeRate(projectId, 'tight');
  for (let i = 0; i < 2000; i += 1) await refused();
  const times = [];
  for (let i = 0; i < 20_000; i += 1) {
    const start = performance.now();
    await refused();
    times.push((performance.now() - start) * 1000);
  }
  times.sort((a, b) => a - b);
  print('A refused call, one after the other', [
    ['p50, p99 in µs', `${times[10_000].toFixed(1)}, ${times[19_800].toFixed(1)}`],
    ['mean in µs, with the calls that ask Redis again', (times.reduce((sum, time) => sum + time) / 20_000).toFixed(1)],
  ]);
}
