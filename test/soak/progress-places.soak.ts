import { afterEach, describe, expect, it } from 'vitest';
import { TestApp } from '../support/app.js';
import { MainProcess } from '../support/main-process.js';
import { ownRedis } from '../support/own-redis.js';
import { JWT_SECRET } from '../support/projects.js';
import { SseClient } from '../support/sse-client.js';
import { until } from '../support/until.js';

const PLACES = 20;

describe('the places for streams that a killed process held', () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  it('are free again when their leases have run out, and not one more', { timeout: 120_000 }, async () => {
    const redis = await ownRedis();
    cleanups.push(() => redis[Symbol.asyncDispose]());
    const env = { REDIS_URL: redis.appUrl, AUTH_JWT_SECRET: JWT_SECRET, PROGRESS_MAX_STREAMS: String(PLACES) };
    const [killed, stays] = [new MainProcess(env), new MainProcess(env)];
    for (const process of [killed, stays]) cleanups.push(() => process[Symbol.asyncDispose]());
    const app = await TestApp.start({ servers: { state: redis } });
    cleanups.push(() => app.close());
    const { base, token } = await app.caller('viewer');
    /** @returns a stream, or `undefined` when it is refused. */
    const open = async (process: MainProcess): Promise<SseClient | undefined> => {
      const client = await SseClient.open(`${await process.url()}${base}/progress`, { token });
      cleanups.push(() => client.cut());
      await until(() => client.frames.length > 0 || client.ended);
      return client.ended ? undefined : client;
    };
    const half = PLACES / 2;
    const theirs = await Promise.all(Array.from({ length: half }, () => open(killed)));
    const mine = await Promise.all(Array.from({ length: half }, () => open(stays)));
    expect([...theirs, ...mine]).not.toContain(undefined);
    expect(await open(stays)).toBeUndefined();

    killed.signal('SIGKILL');
    await killed.exited;
    const since = performance.now();
    const healed = [await until(() => open(stays), 'a place of the killed process', 60_000)];
    process.stdout.write(
      `FIGURE places of a killed process: free after ${((performance.now() - since) / 1000).toFixed(1)} s\n`,
    );
    // They were renewed at different times.
    while (healed.length < half) healed.push(await until(() => open(stays), 'the others', 60_000));
    expect(await open(stays)).toBeUndefined();
    for (const client of mine) expect(client!.closed).toBe(false);
  });
});
