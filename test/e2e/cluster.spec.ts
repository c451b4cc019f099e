import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type RedisServer, startRedis } from '../../scripts/lib/redis-server.mjs';
import { loadConfig } from '../../src/config/app-config.js';
import type { ProjectId } from '../../src/common/project-id.js';
import { createApp } from '../../src/create-app.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { LeaseKeeper } from '../../src/queue/renewal/lease-keeper.js';
import { callerAt } from '../support/app.js';
import { JWT_SECRET, newProject } from '../support/projects.js';
import { until } from '../support/until.js';
import { type Memo, STEPS } from '../contract/isolation-steps.js';

const passwords = { admin: 'admin-of-the-cluster', app: 'app-of-the-cluster' };
const RANGES = [
  [0, 5460],
  [5461, 10_922],
  [10_923, 16_383],
] as const;

describe('on a Redis Cluster of three masters', () => {
  let dir: string;
  let servers: RedisServer[];
  let admins: Redis[];
  let nest: NestExpressApplication;
  let url: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cluster-'));
    servers = await Promise.all(
      RANGES.map((_, i) =>
        startRedis({ role: 'single', dir: join(dir, String(i)), passwords, extraArgs: ['--cluster-enabled', 'yes'] }),
      ),
    );
    admins = servers.map((server) => new Redis(server.adminUrl, { protocol: 2 }));
    await Promise.all(admins.map((admin, i) => admin.call('CLUSTER', 'ADDSLOTSRANGE', ...RANGES[i]!.map(String))));
    for (const server of servers.slice(1)) await admins[0]!.call('CLUSTER', 'MEET', '127.0.0.1', String(server.port));
    await until(
      async () =>
        (await Promise.all(admins.map(async (admin) => String(await admin.cluster('INFO'))))).every(
          (info) => info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3'),
        ),
      'the cluster is formed',
    );
    nest = await createApp(
      loadConfig({
        PORT: '0',
        LOG_LEVEL: 'fatal',
        REDIS_CLUSTER_NODES: servers.map(({ port }) => `127.0.0.1:${port}`).join(','),
        REDIS_USERNAME: 'api',
        REDIS_PASSWORD: passwords.app,
        // Has no effect here, and does no harm.
        CACHE_L1: 'on',
        AUTH_JWT_SECRET: JWT_SECRET,
      }),
    );
    await nest.listen(0, '127.0.0.1');
    url = await nest.getUrl();
  });
  afterAll(async () => {
    await nest?.close();
    for (const admin of admins) admin.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
    await rm(dir, { recursive: true, force: true });
  });

  it('serves every route, with the keys of a project in one slot, whichever master has it', async () => {
    const met = new Set<number>();
    for (let i = 0; i < 12 && met.size < 3; i += 1) {
      const projectId = newProject();
      met.add(await masterOf(projectId));
      const memo: Memo = { marker: 'marker', jobs: [] };
      const caller = await callerAt(url, projectId, 'owner');
      for (const step of STEPS) {
        const answer = await step.call(caller, memo);
        expect(`${step.route} ${answer.status}`, answer.text).toBe(`${step.route} ${step.status}`);
        step.learn?.(answer.body as never, memo);
        if (step.route === 'POST /locks/{name}') await expectOneSlot(projectId);
      }
    }
    expect(met.size).toBe(3);
  });

  it('keeps leases in a thread with a Cluster connection of its own, whichever master has them', async () => {
    const [queues, leasing, keeper] = [nest.get(QueueService), nest.get(LeaseService), nest.get(LeaseKeeper)];
    await keeper.start();
    const projects = new Map<number, ProjectId>();
    while (projects.size < 3) {
      const projectId = newProject();
      projects.set(await masterOf(projectId), projectId);
    }
    for (const projectId of projects.values()) {
      await queues.enqueue(projectId, 'embeddings', [{ task: { doc_id: 'd', chunks: [] } }]);
      const [job] = (await leasing.lease(projectId, 'embeddings', { leaseSeconds: 1 })).jobs;
      const drop = keeper.hold(projectId, 'embeddings', job!, { leaseMs: 1000, maxHoldMs: 60_000 }, () => undefined)!;
      await until(
        async () =>
          ((await queues.job(projectId, 'embeddings', job!.jobId)).leaseExpiresAt ?? 0) > job!.expiresAt + 1000,
        'the lease is renewed',
      );
      drop();
    }
  });

  async function masterOf(projectId: string): Promise<number> {
    const slot = Number(await admins[0]!.call('CLUSTER', 'KEYSLOT', `proj:{${projectId}}:doc:a`));
    return RANGES.findIndex(([first, last]) => slot >= first && slot <= last);
  }

  // Every key of the project, on all masters, has the form with braces, and all stand on one.
  async function expectOneSlot(projectId: string): Promise<void> {
    const found = await Promise.all(
      admins.map(async (admin) => {
        const keys: string[] = [];
        for await (const batch of admin.scanStream({ match: `*${projectId}*`, count: 1000 }))
          keys.push(...(batch as string[]));
        return keys;
      }),
    );
    expect(found.filter((keys) => keys.length > 0)).toHaveLength(1);
    for (const key of found.flat()) expect(key).toMatch(new RegExp(`^proj:\\{${projectId}\\}:`));
  }
});
