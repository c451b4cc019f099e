import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressService } from '../progress.service.js';

const LOST = 60;

describe('operations whose workers have all died', () => {
  let apps: TestApp[];
  beforeAll(async () => {
    apps = await Promise.all([TestApp.start(), TestApp.start()]);
  });
  afterAll(() => Promise.all(apps.map((app) => app.close())));

  it('are told as failed, lost, once each, however many instances look, and soon also when they are many', async () => {
    const [one] = apps as [TestApp];
    const viewer = await one.caller('viewer');
    const clients = await Promise.all(
      apps.map((app) => SseClient.open(`${app.url}${viewer.base}/progress`, { token: viewer.token })),
    );
    for (const client of clients) await client.until('$snapshot');
    const progress = one.get(ProgressService);
    const projectId = viewer.projectId as ProjectId;
    const names = Array.from({ length: LOST }, (_, i) => `op-${i}`).sort();
    await Promise.all(
      names.map((operation_id) =>
        progress.publish(projectId, { type: 'work', data: { status: 'started', lease_seconds: 0.02 }, operation_id }),
      ),
    );
    const lost = (client: SseClient) => client.events.filter(({ json }) => json.type === 'failed');
    for (const client of clients) await until(() => lost(client).length >= LOST, 'all to be told as lost', 15_000);
    // What a stream that came later begins with says the same.
    using late = await SseClient.open(`${one.url}${viewer.base}/progress`, { token: viewer.token });
    const { json } = await late.until('$snapshot');
    for (const operation of json.data['operations'] as object[]) {
      expect(operation).toMatchObject({ status: 'failed', error: 'lost' });
    }
    await progress.publish(projectId, { type: 'last', data: {} });
    for (const client of clients) {
      await client.until('last');
      expect(
        lost(client)
          .map((frame) => frame.json.operation_id)
          .sort(),
      ).toEqual(names);
      for (const frame of lost(client)) expect(frame.json.data).toEqual({ status: 'failed', error: 'lost' });
      client.cut();
    }
  });
});
