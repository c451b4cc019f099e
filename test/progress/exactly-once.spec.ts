import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { ProgressService } from '../../src/progress/progress.service.js';
import { TestApp } from '../support/app.js';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET } from '../support/projects.js';
import { until } from '../support/until.js';
import { type Cut, Follower } from './follower.js';
import { random } from '../support/random.mjs';
import { SOAK, scaled } from '../support/scale.js';

const STREAMS = scaled(40, 1000);
const EVENTS = scaled(800, 20_000);
const CUTS = 5;
/** Publishing does not run further ahead of the slowest than this. */
const LEAD = 2000;
const MINUTES = 60_000;

describe(`${STREAMS} streams on two processes, ${EVENTS} events, each stream cut ${CUTS} times at random`, () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function crowd(seed: number) {
    const redis = await ownRedis();
    cleanups.push(() => redis[Symbol.asyncDispose]());
    const env = {
      REDIS_URL: redis.appUrl,
      AUTH_JWT_SECRET: JWT_SECRET,
      PROGRESS_MAX_STREAMS: '20000',
      LOG_LEVEL: 'fatal',
    };
    const processes = [new MainProcess({ ...env, LOG_LEVEL: 'info' }), new MainProcess({ ...env, LOG_LEVEL: 'info' })];
    for (const process of processes) cleanups.push(() => process[Symbol.asyncDispose]());
    const urls = await Promise.all(processes.map((process) => process.url()));
    const app = await TestApp.start({ servers: { state: redis } });
    cleanups.push(() => app.close());
    const caller = await app.caller('viewer');
    const next = random(seed);
    const ways: Cut[] = ['rst', 'fin', 'half-open'];
    const followers = Array.from({ length: STREAMS }, () => {
      const plan = Array.from({ length: CUTS }, () => Math.floor(next() * (EVENTS - 1)))
        .sort((a, b) => a - b)
        .map((at, i, all) => ({
          at: at + all.slice(0, i).filter((other) => other === at).length,
          how: ways[Math.floor(next() * 3)]!,
        }));
      const url = (): string => `${urls[Math.floor(next() * 2)]!}${caller.base}/progress`;
      return new Follower(url, caller.token, plan, next);
    });
    cleanups.push(() => followers.forEach((follower) => follower.stop()));
    await Promise.all(followers.map(({ stands }) => stands));

    const progress = app.get(ProgressService);
    const slowest = (): number => followers.reduce((least, { next: n }) => Math.min(least, n), EVENTS);
    const publish = async (): Promise<void> => {
      for (let n = 0; n < EVENTS; n += 1) {
        const event = { type: 'step', data: { n, x: 'x'.repeat(120) } };
        const idempotencyKey = randomUUID();
        await until(
          () => progress.publish(caller.projectId as ProjectId, event, { idempotencyKey }).catch(() => undefined),
          'Redis to take an event',
          30_000,
        );
        if (n % 100 === 0) await until(() => n - slowest() < LEAD, 'the slowest to follow', MINUTES);
      }
    };
    const arrived = (): Promise<unknown> =>
      until(() => slowest() === EVENTS, 'every event at every stream', 2 * MINUTES);
    return { redis, app, followers, publish, arrived };
  }

  function judge(followers: readonly Follower[]): void {
    expect(followers.flatMap(({ fault }) => fault ?? [])).toEqual([]);
    expect(followers.every(({ next: n, cuts }) => n === EVENTS && cuts === CUTS)).toBe(true);
    expect(followers.every(({ connections }) => connections > CUTS)).toBe(true);
  }

  it('have every event exactly once and in order', { timeout: 20 * MINUTES }, async () => {
    const { followers, publish, arrived } = await crowd(1);
    await publish();
    await arrived();
    judge(followers);
  });

  it('and so while all pub/sub connections are killed again and again', { timeout: 20 * MINUTES }, async () => {
    const { app, followers, publish, arrived } = await crowd(2);
    const timer = setInterval(() => void app.state.call('CLIENT', 'KILL', 'TYPE', 'pubsub'), SOAK ? 1000 : 100);
    cleanups.push(() => clearInterval(timer));
    await publish();
    clearInterval(timer);
    await arrived();
    judge(followers);
  });

  it('and so while Redis is frozen', { timeout: 20 * MINUTES }, async () => {
    const { redis, followers, publish, arrived } = await crowd(3);
    const publishing = publish();
    await until(() => followers[0]!.next > EVENTS / 2, 'half of the events', 10 * MINUTES);
    await redis.freeze();
    await new Promise((resolve) => setTimeout(resolve, SOAK ? 5000 : 1000));
    await redis.thaw();
    await publishing;
    await arrived();
    judge(followers);
  });
});
