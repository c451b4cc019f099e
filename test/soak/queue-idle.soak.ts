import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { KeyBuilder } from '../../src/redis/key-builder.js';
import { ConsumerProcess } from '../queue/consumer-process.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { figure } from '../support/scale.js';
import { size } from './size.js';

const PROJECTS = size('SOAK_PROJECTS', 10_000);
const INSTANCES = 3;
const SECONDS = 30;

describe('many idle projects', () => {
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  let admin: Redis;
  let consumers: ConsumerProcess[];
  beforeAll(async () => {
    redis = await ownRedis();
    admin = new Redis(redis.adminUrl, { protocol: 2 });
    consumers = Array.from({ length: INSTANCES }, () => new ConsumerProcess(redis.appUrl));
    await Promise.all(consumers.map((each) => each.says('ready')));
  });
  afterAll(async () => {
    await Promise.all(consumers.map((each) => each[Symbol.asyncDispose]()));
    admin.disconnect();
    await redis[Symbol.asyncDispose]();
  });

  const cpuSeconds = async (): Promise<number> => {
    const info = await admin.info('cpu');
    const value = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)![1]);
    return value('used_cpu_user') + value('used_cpu_sys');
  };
  const connections = async (): Promise<number> =>
    String(await admin.client('LIST'))
      .split('\n')
      .filter((line) => line.includes(' user=api ')).length;
  const share = async (): Promise<number> => {
    const [before, from] = [await cpuSeconds(), performance.now()];
    await pause(SECONDS * 1000);
    return ((await cpuSeconds()) - before) / ((performance.now() - from) / 1000);
  };

  it(
    `${PROJECTS} of them cost ${INSTANCES} instances no connection and Redis 2 % of a core at most`,
    { timeout: 300_000 },
    async () => {
      const none = await share();
      const few = await connections();
      const keys = new KeyBuilder();
      const projects = Array.from({ length: PROJECTS }, newProject);
      for (const projectId of projects) await admin.publish(keys.key(projectId, 'queue', 'embeddings', 'wake'), '');
      // Each has looked into all of them when the last has been worked on by somebody.
      const last = projects.at(-1)!;
      const item = JSON.stringify({ project_id: last, doc_id: 'd', chunks: [] });
      await admin.rpush(keys.key(last, 'queue', 'embeddings'), item);
      await until(
        () => consumers.some(({ lines }) => lines.some((line) => line.startsWith('end'))),
        'it is found',
        30_000,
      );
      await pause(5000);
      const idle = await share();
      expect(await connections()).toBe(few);
      const percent = (value: number): string => `${(value * 100).toFixed(2)} %`;
      figure(
        `${PROJECTS} idle projects, ${INSTANCES} consuming processes with ${few} connections together: ` +
          `${percent(idle)} of a core of Redis, without projects ${percent(none)}`,
      );
      expect(idle).toBeLessThanOrEqual(0.02);
    },
  );
});
