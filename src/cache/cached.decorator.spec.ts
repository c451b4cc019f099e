import { Get, Injectable, Module, Param } from '@nestjs/common';
import { IsInt } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import type { ProjectId } from '../common/project-id.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Project, Requires } from '../project-context/project.decorators.js';
import type { RequestProject } from '../project-context/request-project.js';
import { CacheModule } from './cache.module.js';
import { CacheService } from './cache.service.js';
import { Cached } from './cached.decorator.js';
import { EntryType } from './entry/entry-type.js';

class Sum {
  @IsInt() total!: number;
}
const sums = new EntryType({ name: 'sum', type: Sum, ttlMs: 60_000 });
const routes = new EntryType({ name: 'sum-route', type: Sum, ttlMs: 60_000 });

@Injectable()
class SumService {
  calls = 0;

  @Cached(sums)
  async sum(_projectId: ProjectId, a: number, b: number): Promise<Sum> {
    this.calls += 1;
    return { total: a + b };
  }

  @Cached(sums, { id: (name: string) => name })
  async named(_projectId: ProjectId, name: string): Promise<Sum> {
    this.calls += 1;
    return { total: name.length };
  }
}

@ProjectController('cached-sums')
class SumController {
  calls = 0;

  @Cached(routes, { id: (a: string) => a })
  @Get(':a')
  @Requires('read')
  async get(@Project() _project: RequestProject, @Param('a') a: string): Promise<Sum> {
    this.calls += 1;
    return { total: Number(a) };
  }
}

@Module({ imports: [CacheModule], providers: [SumService], controllers: [SumController] })
class SumModule {}

describe('@Cached()', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ extensions: [SumModule] });
  });
  afterAll(() => app.close());

  it('answers a method of any module out of the project’s cache, by its arguments', async () => {
    const service = app.get(SumService);
    const [projectId, other] = [newProject(), newProject()];
    for (const project of [projectId, projectId, other]) expect(await service.sum(project, 1, 2)).toEqual({ total: 3 });
    expect(await service.sum(projectId, 2, 2)).toEqual({ total: 4 });
    expect(service.calls).toBe(3);
    await service.named(projectId, 'abc');
    await app.get(CacheService).drop(projectId, sums.of('abc'));
    await service.named(projectId, 'abc');
    expect(service.calls).toBe(5);
    await expect(service.sum('no-project' as ProjectId, 1, 2)).rejects.toMatchObject({ code: 'project_id_invalid' });
  });

  it('answers a route, behind its guards, for each project by itself', async () => {
    const [viewer, other] = [await app.caller('viewer'), await app.caller('viewer')];
    for (const caller of [viewer, viewer, other]) {
      expect((await caller.get('/cached-sums/7').expect(200)).body).toEqual({ total: 7 });
    }
    expect(app.get(SumController).calls).toBe(2);
    await app.anonymous.get(`${viewer.base}/cached-sums/7`).expect(401);
    const foreign = app.anonymous.get(`${viewer.base}/cached-sums/7`).set('Authorization', `Bearer ${other.token}`);
    await foreign.expect(403);
  });

  it('stops the start where the module has no cache', async () => {
    @Module({ providers: [SumService] })
    class WithoutModule {}
    await expect(TestApp.start({ extensions: [WithoutModule] })).rejects.toThrow(/CacheService/);
  });
});
