import { Controller, Get, Injectable, Module, type OnModuleInit, Post } from '@nestjs/common';
import type { Request } from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject, signToken, tokenFor } from '../../test/support/projects.js';
import { cookie, type CredentialKind, Credentials } from '../auth/credentials.js';
import type { Principal } from '../auth/principal.js';
import type { ProjectId } from '../common/project-id.js';
import { ProjectContext } from './project-context.js';
import { ProjectController } from './project-controller.decorator.js';
import { Project, Public, Requires } from './project.decorators.js';
import type { ProjectRequest, RequestProject } from './request-project.js';

/** A credential that the browser sends by itself, as the session cookie is. */
@Injectable()
class TestCookie implements CredentialKind, OnModuleInit {
  readonly order = 90;

  constructor(private readonly credentials: Credentials) {}

  onModuleInit(): void {
    this.credentials.register(this);
  }

  extract(request: Request): string | undefined {
    return cookie(request, 'test');
  }

  verify(_projectId: ProjectId, userId: string): Principal {
    return { userId, role: 'owner', via: 'session', expiresAt: Date.now() + 60_000, ambient: true };
  }
}

@ProjectController('guarded')
class GuardedController {
  constructor(private readonly context: ProjectContext) {}

  @Get()
  @Requires('read')
  read(@Project() project: RequestProject): object {
    const { projectId, principal, role } = this.context;
    return { projectId, principal, role, same: project.projectId === projectId, frozen: Object.isFrozen(project) };
  }

  @Post()
  @Requires('own')
  write(): object {
    return {};
  }
}

@Public()
@Controller('open')
class OpenController {
  constructor(private readonly context: ProjectContext) {}

  @Get()
  read(): string {
    return this.context.projectId;
  }

  @Get('parameter')
  parameter(@Project() project: RequestProject): string {
    return project.projectId;
  }
}

@Module({ controllers: [GuardedController, OpenController], providers: [TestCookie] })
class GuardedModule {}

describe('the guard', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ extensions: [GuardedModule], env: { CORS_ORIGINS: 'https://app.test' } });
  });
  afterAll(() => app.close());

  it('gives the context and the parameter one and the same frozen project', async () => {
    const projectId = newProject();
    const token = await tokenFor(projectId, 'viewer', 'someone');
    const { body } = await app.anonymous
      .get(`/v1/projects/${projectId.toUpperCase()}/guarded`)
      .set('Authorization', `bearer ${token}`)
      .expect(200);
    expect(body).toMatchObject({
      projectId,
      role: 'viewer',
      principal: { userId: 'someone' },
      same: true,
      frozen: true,
    });
  });

  it('asks for the project first, then who it is, then what it may, and only then for the body', async () => {
    const [mine, token] = [newProject(), await signToken({ projects: {} })];
    const viewer = await app.caller('viewer');
    const post = (base: string, authorization?: string) => {
      const request = app.anonymous.post(`${base}/locks/a`).send({ nonsense: true });
      return authorization === undefined ? request : request.set('Authorization', authorization);
    };
    const code = async (base: string, authorization?: string): Promise<string> =>
      (await post(base, authorization)).body.code as string;
    expect(await code('/v1/projects/none')).toBe('project_id_invalid');
    expect(await code('/v1/projects/none', 'Bearer x')).toBe('project_id_invalid');
    expect(await code(`/v1/projects/${mine}`)).toBe('unauthenticated');
    expect(await code(`/v1/projects/${mine}`, 'Bearer x')).toBe('unauthenticated');
    expect(await code(`/v1/projects/${mine}`, `Bearer ${token}`)).toBe('forbidden');
    expect(await code(viewer.base, `Bearer ${viewer.token}`)).toBe('forbidden');
    expect(await code(viewer.base, `Bearer ${await tokenFor(viewer.projectId as ProjectId)}`)).toBe(
      'validation_failed',
    );
  });

  it('takes the project from the path alone', async () => {
    const viewer = await app.caller('viewer');
    const other = newProject();
    const { body } = await viewer
      .get(`/guarded?project_id=${other}`)
      .set('X-Project-Id', other)
      .set('project_id', other)
      .expect(200);
    expect(body.projectId).toBe(viewer.projectId);
  });

  it('says how to prove who one is', async () => {
    const { headers } = await app.anonymous.get(`/v1/projects/${newProject()}/guarded`).expect(401);
    expect(headers['www-authenticate']).toBe('Bearer');
  });

  it.each([
    ['from our own page', 200, { 'Sec-Fetch-Site': 'same-origin' }],
    ['typed by the user', 200, { 'Sec-Fetch-Site': 'none' }],
    ['from a page on the allow-list', 200, { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://app.test' }],
    ['from a page on the allow-list, by an old browser', 200, { Origin: 'https://app.test' }],
    ['from a foreign page', 403, { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.test' }],
    ['from a page of a sister domain', 403, { 'Sec-Fetch-Site': 'same-site' }],
    ['from a foreign page, by an old browser', 403, { Origin: 'https://evil.test' }],
    ['from an origin that only begins alike', 403, { Origin: 'https://app.test.evil.test' }],
    ['from a sandboxed page', 403, { Origin: 'null' }],
    ['that does not say from where', 403, {}],
  ])('answers a write with a cookie %s with %i', async (_where, status, headers) => {
    const path = `/v1/projects/${newProject()}/guarded`;
    const answer = await app.anonymous.post(path).set('Cookie', 'test=someone').set(headers);
    expect(answer.status === 201 ? 200 : answer.status).toBe(status);
    // Reading changes nothing, and no page of another origin sees the answer.
    await app.anonymous.get(path).set('Cookie', 'test=someone').set(headers).expect(200);
  });

  it('asks no origin of a bearer token: no browser sends it by itself', async () => {
    const owner = await app.caller('owner');
    await owner.post('/guarded').set('Origin', 'https://evil.test').set('Sec-Fetch-Site', 'cross-site').expect(201);
  });
});

describe('the project context', () => {
  it('throws where no guard has run: no project is ever assumed', async () => {
    const context = new ProjectContext({} as ProjectRequest);
    for (const read of [() => context.projectId, () => context.principal, () => context.role]) {
      expect(read).toThrow(expect.objectContaining({ code: 'internal_error' }));
    }
    await using app = await TestApp.start({ extensions: [GuardedModule] });
    for (const path of ['/open', '/open/parameter']) {
      expect((await app.anonymous.get(path).expect(500)).body.code).toBe('internal_error');
    }
  });
});
