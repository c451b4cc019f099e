import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import type { ProjectId } from '../common/project-id.js';

const KEYS = 40_000;

describe('the sweep of a purge, interrupted', () => {
  let server: Awaited<ReturnType<typeof ownRedis>>;
  let app: TestApp;
  beforeAll(async () => {
    server = await ownRedis();
    app = await TestApp.start({ servers: { state: server } });
  });
  afterAll(async () => {
    await app.close();
    await server[Symbol.asyncDispose]();
  });

  async function fill(): Promise<ProjectId> {
    const projectId = newProject();
    const pairs = Array.from({ length: KEYS }, (_, i) => [app.keys.key(projectId, 'many', String(i)), '1']);
    await app.state.mset(pairs.flat());
    return projectId;
  }

  const size = () => app.state.dbsize();

  it('begins anew when Redis is stopped in its middle and comes back', async () => {
    await (await app.caller('owner', await fill())).delete('').expect(202);
    await until(async () => (await size()) < KEYS, 'the first batch');
    await server.restart();
    await until(async () => (await size()) === 0, 'the sweep');
  });

  it('stops when the application shuts down, and a repetition elsewhere finishes it', async () => {
    const projectId = await fill();
    const other = await TestApp.start({ servers: { state: server } });
    await (await other.caller('owner', projectId)).delete('').expect(202);
    await until(async () => (await size()) < KEYS, 'the first batch');
    await other.close();
    expect(await size()).toBeGreaterThan(0);
    await (await app.caller('owner', projectId)).delete('').expect(202);
    await until(async () => (await size()) === 0, 'the sweep');
  });
});
