import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Access, may, ROLES } from '../../src/auth/principal.js';
import { type DeclaredRoute, RouteAudit } from '../../src/project-context/route-audit.js';
import { type Caller, TestApp } from '../support/app.js';
import { newProject, tokenFor } from '../support/projects.js';

type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';

describe('every route', () => {
  let app: TestApp;
  let routes: DeclaredRoute[];
  beforeAll(async () => {
    app = await TestApp.start();
    routes = app.get(RouteAudit).routes();
  });
  afterAll(() => app.close());

  const send = (route: DeclaredRoute, projectId: string, token?: string) => {
    const path = `/${route.path}`.replace(':project_id', projectId).replace(/:\w+/g, 'a');
    const request = app.anonymous[route.method.toLowerCase() as Method](path);
    return token === undefined ? request : request.set('Authorization', `Bearer ${token}`);
  };
  const inProjects = (): DeclaredRoute[] => routes.filter((route) => !route.public);
  const name = (route: DeclaredRoute): string => `${route.method} ${route.path}`;

  it('is in a project, but for health and metrics', () => {
    expect(
      routes
        .filter((route) => route.public)
        .map(name)
        .sort(),
    ).toEqual(['GET health/live', 'GET health/ready', 'GET metrics']);
  });

  it('refuses a project id that is none, before all else', async () => {
    for (const route of inProjects()) {
      const { status, body } = await send(route, 'none', 'x');
      expect([status, body.code], name(route)).toEqual([400, 'project_id_invalid']);
    }
  });

  it('refuses who does not say who it is, or comes with a token for another project', async () => {
    const foreign = await tokenFor(newProject());
    for (const route of inProjects()) {
      const nobody = await send(route, newProject());
      expect([nobody.status, nobody.body.code], name(route)).toEqual([401, 'unauthenticated']);
      const stranger = await send(route, newProject(), foreign);
      expect([stranger.status, stranger.body.code], name(route)).toEqual([403, 'forbidden']);
    }
  });

  it('refuses each role that may not use it', async () => {
    const projectId = newProject();
    const callers: [(typeof ROLES)[number], Caller][] = [];
    for (const role of ROLES) callers.push([role, await app.caller(role, projectId)]);
    let refused = 0;
    for (const route of inProjects()) {
      for (const [role, { token }] of callers.filter(([each]) => !may(each, route.access as Access))) {
        const { status, body } = await send(route, projectId, token);
        expect([status, body.code], `${name(route)} as ${role}`).toEqual([403, 'forbidden']);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(await app.keysOf(projectId)).toEqual([]);
  });

  it('that does not exist is a problem, too', async () => {
    const owner = await app.caller('owner');
    for (const path of ['/nothing', '/locks', '/locks/a/b', '/LOCKS%2Fa']) {
      const { body, headers } = await owner.get(path).expect(404);
      expect(body).toMatchObject({ code: 'not_found', status: 404, instance: `${owner.base}${path}` });
      expect(headers['content-type']).toMatch(/^application\/problem\+json/);
    }
  });
});
