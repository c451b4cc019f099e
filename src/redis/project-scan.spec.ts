import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { ProjectScan } from './project-scan.js';

describe('the walk over the keys of a project', () => {
  let app: TestApp;
  let scan: ProjectScan;
  beforeAll(async () => {
    app = await TestApp.start();
    scan = app.get(ProjectScan);
  });
  afterAll(() => app.close());

  async function fill(server: 'state' | 'cache', projectId: string, count: number): Promise<string[]> {
    const keys = Array.from({ length: count }, (_, i) => `proj:${projectId}:walk:${i}`);
    await app[server].mset(keys.flatMap((key) => [key, '1']));
    return keys;
  }

  it('sees every key of the project on the one server, and none of another project', async () => {
    const [a, b] = [newProject(), newProject()];
    const expected = await fill('state', a, 300);
    await fill('state', b, 300);
    await fill('cache', a, 3);
    const seen = new Set<string>();
    for await (const batch of scan.batches(a, 'state', { count: 20, pauseMs: 0 })) {
      expect(batch.length).toBeGreaterThan(0);
      for (const key of batch) seen.add(key);
    }
    expect([...seen].sort()).toEqual([...expected].sort());
    await Promise.all([
      app.state.del(expected),
      app.state.del(await app.keysOf(b)),
      app.cache.del(await app.keysOf(a)),
    ]);
  });

  it('ends early, without an error, when it is told to', async () => {
    const projectId = newProject();
    const keys = await fill('state', projectId, 300);
    const controller = new AbortController();
    let seen = 0;
    for await (const batch of scan.batches(projectId, 'state', { count: 10, pauseMs: 0, signal: controller.signal })) {
      seen += batch.length;
      controller.abort();
    }
    expect(seen).toBeGreaterThan(0);
    expect(seen).toBeLessThan(300);
    await app.state.del(keys);
  });

  it('does not sit out its pause when it is told to end', async () => {
    await fill('state', newProject(), 100);
    const walk = scan.batches(newProject(), 'state', { count: 10, pauseMs: 600_000, signal: AbortSignal.timeout(10) });
    await expect(walk.next()).resolves.toEqual({ done: true, value: undefined });
  });
});
