import { EventSource } from 'eventsource';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { newProject, signToken } from '../../../test/support/projects.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressService } from '../progress.service.js';

describe('stream tickets', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  const ticketOf = async (viewer: Awaited<ReturnType<TestApp['caller']>>): Promise<string> => {
    const { body } = await viewer.post('/progress/tickets').expect(201);
    expect(body).toEqual({ ticket: expect.stringMatching(/^[A-Za-z0-9_-]{20,}$/), expires_in_seconds: 30 });
    return body.ticket as string;
  };
  const cookieOf = (client: SseClient): string => client.response.headers['set-cookie']![0]!;

  it('open one stream without a header, and no other', async () => {
    const viewer = await app.caller('viewer');
    const ticket = await ticketOf(viewer);
    const url = `${app.url}${viewer.base}/progress?ticket=${ticket}`;
    using client = await SseClient.open(url);
    await client.until('$snapshot');
    expect(cookieOf(client)).toMatch(
      /^stream=[\w-]+; HttpOnly; SameSite=Lax; Path=\/v1\/projects\/[^/]+\/progress; Max-Age=\d+$/,
    );
    const again = await SseClient.open(url);
    expect(again.status).toBe(401);
  });

  it('give the stream to one of two that use the same ticket at the same time', async () => {
    const viewer = await app.caller('viewer');
    const url = `${app.url}${viewer.base}/progress?ticket=${await ticketOf(viewer)}`;
    const clients = await Promise.all(Array.from({ length: 5 }, () => SseClient.open(url)));
    await until(() => clients.every((client) => client.ended || client.frames.length > 0));
    expect(clients.filter((client) => client.frames.length > 0)).toHaveLength(1);
    for (const client of clients) client.cut();
  });

  it('are exchanged for a cookie with which the stream reconnects at the same URL', async () => {
    const viewer = await app.caller('viewer');
    const url = `${app.url}${viewer.base}/progress?ticket=${await ticketOf(viewer)}`;
    const client = await SseClient.open(url);
    await client.until('$snapshot');
    const cookie = cookieOf(client).split(';', 1)[0];
    client.cut();
    await app.get(ProgressService).publish(viewer.projectId as ProjectId, { type: 'missed', data: {} });
    using again = await client.reconnect({ cookie });
    await again.until('missed');
    expect(again.types()).toEqual(['missed']);
    expect(again.response.headers['set-cookie']).toBeUndefined();
    // The cookie opens nothing else, and nothing of another project.
    await app.anonymous.get(`${viewer.base}/operations`).set('Cookie', cookie!).expect(401);
    await app.anonymous.post(`${viewer.base}/progress/tickets`).set('Cookie', cookie!).expect(401);
    await app.anonymous.get(`/v1/projects/${newProject()}/progress`).set('Cookie', cookie!).expect(401);
  });

  it('are refused in another project, when unknown, and when their 30 seconds are over', async () => {
    const viewer = await app.caller('viewer');
    const ticket = await ticketOf(viewer);
    const get = (path: string) => app.anonymous.get(path);
    await get(`/v1/projects/${newProject()}/progress?ticket=${ticket}`).expect(401);
    await get(`${viewer.base}/progress?ticket=unknown`).expect(401);
    await get(`${viewer.base}/operations?ticket=${ticket}`).expect(401);
    const key = app.get(ProgressKeys).ticket(viewer.projectId as ProjectId, ticket);
    expect(await app.state.ttl(key)).toBeGreaterThan(25);
    expect(await app.state.ttl(key)).toBeLessThanOrEqual(30);
    await app.state.pexpire(key, 1);
    await until(async () => !(await app.state.exists(key)));
    await get(`${viewer.base}/progress?ticket=${ticket}`).expect(401);
    await get(`${viewer.base}/progress/tickets`).expect(404);
    await app.anonymous.post(`${viewer.base}/progress/tickets`).expect(401);
  });

  it('are stored hashed', async () => {
    const viewer = await app.caller('viewer');
    const ticket = await ticketOf(viewer);
    using client = await SseClient.open(`${app.url}${viewer.base}/progress?ticket=${ticket}`);
    await client.until('$snapshot');
    const cookie = /stream=([^;]+)/.exec(cookieOf(client))![1]!;
    const keys = await app.keysOf(viewer.projectId);
    expect(keys.some((key) => key.includes(':progress:cookie:'))).toBe(true);
    for (const key of keys) {
      expect(key).not.toContain(ticket);
      expect(key).not.toContain(cookie);
      const text = (await app.state.type(key)) === 'string' ? await app.state.get(key) : '';
      expect(text).not.toMatch(new RegExp(`${ticket}|${cookie}`));
    }
  });

  it('are used up by a stream alone: a request that gets none may try again', async () => {
    const viewer = await app.caller('viewer');
    const ticket = await ticketOf(viewer);
    await app.anonymous.get(`${viewer.base}/progress?ticket=${ticket}&operation_id=a%3Ab`).expect(400);
    using client = await SseClient.open(`${app.url}${viewer.base}/progress?ticket=${ticket}`);
    await client.until('$snapshot');
  });

  it('let a native EventSource reconnect by its cookie after its connection was cut', async () => {
    const viewer = await app.caller('viewer');
    const received: string[] = [];
    let jar: string | undefined;
    const source = new EventSource(`${app.url}${viewer.base}/progress?ticket=${await ticketOf(viewer)}`, {
      // What a browser does by itself: keep the cookie of the path.
      fetch: async (url, init) => {
        const headers = { ...init.headers, ...(jar ? { cookie: jar } : {}) };
        const response = await fetch(url, { ...init, headers });
        jar = response.headers.get('set-cookie')?.split(';', 1)[0] ?? jar;
        return response;
      },
    });
    source.addEventListener('message', ({ data }) =>
      received.push((JSON.parse(data as string) as { type: string }).type),
    );
    await until(() => received.length === 1);
    app.nest.getHttpServer().closeAllConnections();
    await app.get(ProgressService).publish(viewer.projectId as ProjectId, { type: 'missed', data: {} });
    await until(() => received.includes('missed'));
    expect(received).toEqual(['$snapshot', 'missed']);
    source.close();
  });
});

describe('a stream and the credential it was opened with', () => {
  it('ends, cleanly and with a retry, when the token expires; a ticket is no way around that', async () => {
    await using app = await TestApp.start();
    const projectId = newProject();
    const expiresIn = Math.floor(Date.now() / 1000) + 3;
    const token = await signToken({ projects: { [projectId]: 'viewer' } }, { expiresIn });
    const base = `/v1/projects/${projectId}/progress`;
    const issued = await app.anonymous.post(`${base}/tickets`).set('Authorization', `Bearer ${token}`).expect(201);
    using byToken = await SseClient.open(app.url + base, { token });
    using byTicket = await SseClient.open(`${app.url}${base}?ticket=${issued.body.ticket}`);
    await Promise.all([byToken.until('$snapshot'), byTicket.until('$snapshot')]);
    await until(() => byToken.ended && byTicket.ended, 'both to end');
    expect(byToken.comments.at(-1)).toBe('credential expired');
    expect((await byToken.reconnect()).status).toBe(401);
    const cookie = byTicket.response.headers['set-cookie']![0]!.split(';', 1)[0];
    expect((await byTicket.reconnect({ cookie })).status).toBe(401);
  });
});
