import { Controller, Get, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { fields } from '../../test/support/structured-fields.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Public, Requires } from '../project-context/project.decorators.js';
import { RouteAudit } from '../project-context/route-audit.js';
import { RateLimit, RateLimitExempt } from './rate-limit.decorators.js';

@ProjectController('probe')
class ProbeController {
  @Get('plain')
  @Requires('read')
  plain(): object {
    return {};
  }

  @Get('costly')
  @Requires('read')
  @RateLimit('costly', { cost: 2 })
  costly(): object {
    return {};
  }

  @Get('free')
  @Requires('read')
  @RateLimitExempt()
  free(): object {
    return {};
  }
}

@Controller('probe')
class OutsideController {
  @Get()
  @Public()
  outside(): object {
    return {};
  }
}

@Module({ controllers: [ProbeController, OutsideController] })
class ProbeModule {}

describe('rate limits of routes', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({
      env: { RATE_LIMITS: JSON.stringify({ api: { limit: 6000, window_seconds: 36_000 } }) },
      extensions: [ProbeModule],
    });
  });
  afterAll(() => app.close());

  it('stand before every route with the project’s api limit, after authentication and before validation', async () => {
    const owner = await app.caller('owner');
    await owner.put('/rate-limits/api').send({ limit: 3, window_seconds: 3600 }).expect(200);
    const ok = await owner.get('/probe/plain').expect(200);
    // The PUT was under the former policy.
    expect(fields(ok.headers['ratelimit'])['api']).toMatchObject({ r: 1 });
    await owner.get('/probe/plain').expect(200);
    const refused = await owner.put('/rate-limits/slow').send({ nonsense: true }).expect(429);
    expect(refused.body).toMatchObject({ code: 'rate_limited', rule: 'api' });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(1000);
    expect(fields(refused.headers['ratelimit-policy'])).toEqual({ api: { q: 3, w: 3600 } });
    await app.anonymous.get(`${owner.base}/probe/plain`).expect(401);
    const free = await owner.get('/probe/free').expect(200);
    expect(free.headers['ratelimit']).toBeUndefined();
    await app.anonymous.get('/probe').expect(200);
    // Another project has its own.
    await (await app.caller('owner')).get('/probe/plain').expect(200);
  });

  it('stand before all routes of the API, but streams and what gives work or money back', async () => {
    const owner = await app.caller('owner');
    await owner.put('/rate-limits/api').send({ limit: 1, window_seconds: 36_000 }).expect(200);
    await owner.get('/probe/plain').expect(429);
    const free: string[] = [];
    const routes = app.get(RouteAudit).routes();
    for (const { method, path } of routes.filter((route) => !route.public)) {
      const route = `${method} ${path.replace(/^.*:project_id\/?/, '')}`;
      if (route === 'GET progress' || route.includes('probe')) continue;
      const url = `/${path}`.replace(':project_id', owner.projectId).replace(/:\w+/g, 'a');
      const { status } = await app.anonymous[method.toLowerCase() as 'get'](url).set(
        'Authorization',
        `Bearer ${owner.token}`,
      );
      if (status !== 429) free.push(route);
    }
    expect(free.sort()).toEqual([
      'DELETE locks/:name',
      'DELETE quotas/:resource/reservations/:id',
      'DELETE sessions/current',
      'PATCH locks/:name',
      'PATCH quotas/:resource/reservations/:id',
      'POST queues/:queue/acks',
      'POST queues/:queue/jobs/:job_id/ack',
      'POST queues/:queue/jobs/:job_id/extend',
      'POST queues/:queue/jobs/:job_id/nack',
      'POST quotas/:resource/reservations/:id/commit',
    ]);
  });

  it('are put on a route by its decorator, and then decided together with api: both or none', async () => {
    const owner = await app.caller('owner');
    // Without a policy it limits nothing.
    const unlimited = await owner.get('/probe/costly').expect(200);
    expect(fields(unlimited.headers['ratelimit-policy'])).toEqual({ api: { q: 6000, w: 36_000 } });
    await owner.put('/rate-limits/costly').send({ limit: 5, window_seconds: 36_000 }).expect(200);
    await owner.get('/probe/costly').expect(200);
    const second = await owner.get('/probe/costly').expect(200);
    expect(fields(second.headers['ratelimit'])['costly']).toMatchObject({ r: 1 });
    const key = app.keys.key(owner.projectId as never, 'ratelimit', 'api', '36000');
    const before = await app.state.get(key);
    const refused = await owner.get('/probe/costly').expect(429);
    expect(refused.body.rule).toBe('costly');
    expect(await app.state.get(key)).toBe(before);
  });
});
