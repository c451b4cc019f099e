import { isDeepStrictEqual } from 'node:util';
import { Injectable, Module, type OnModuleDestroy } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { parseProjectId } from '../../src/common/project-id.js';
import { StatsRegistry } from '../../src/monitoring/stats.registry.js';
import { TestApp } from '../support/app.js';
import { until } from '../support/until.js';

/** Takes its time when the process stops, as a feature does that gives its leases back. */
@Injectable()
class SlowToStop implements OnModuleDestroy {
  finish = (): void => undefined;

  onModuleDestroy(): Promise<void> {
    return new Promise((resolve) => {
      this.finish = resolve;
    });
  }
}

@Module({ providers: [SlowToStop] })
class SlowModule {}

describe('the shutdown', () => {
  it('leaves the process alive but not ready: it refuses requests and tells event streams to come back', async () => {
    const app = await TestApp.start({ extensions: [SlowModule] });
    const owner = await app.caller('owner');
    const projectId = parseProjectId(owner.projectId);
    await app.anonymous.get('/health/ready').expect(200);
    const closed = app.close();
    await until(async () => (await app.anonymous.get('/health/ready')).status === 503, 'not ready');

    expect((await app.anonymous.get('/health/ready').expect(503)).body).toMatchObject({
      status: 'down',
      reason: 'stopping',
      redis: { state: { status: 'ok' } },
    });
    await app.anonymous.get('/health/live').expect(200);
    const refused = await owner.get('/stats').expect(503);
    expect(refused.headers).toMatchObject({
      'content-type': expect.stringContaining('application/problem+json'),
      'retry-after': '1',
      connection: 'close',
    });
    const stream = owner
      .get('/progress')
      .set('Accept', 'text/event-stream')
      .then(
        (answer) => answer,
        (error: unknown) => error as never,
      );
    const streams = async (): Promise<unknown> => (await app.get(StatsRegistry).collect(projectId))['streams'];
    await until(async () => isDeepStrictEqual(await streams(), { open: 1 }), 'an open stream');

    app.get(SlowToStop).finish();
    expect((await stream).text).toMatch(/^retry: \d+$/m);
    await closed;
  });
});
