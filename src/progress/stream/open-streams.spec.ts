import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { newProject } from '../../../test/support/projects.js';
import { SseClient, type SseOptions } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressService } from '../progress.service.js';
import { StreamPlaces } from './stream-places.js';

const env = { PROGRESS_MAX_STREAMS: '3' };

describe('the places for streams of a project', () => {
  let one: TestApp;
  let two: TestApp;
  beforeAll(async () => {
    [one, two] = await Promise.all([TestApp.start({ env }), TestApp.start({ env })]);
  });
  afterAll(() => Promise.all([one.close(), two.close()]));

  const open = (app: TestApp, caller: Caller, options: SseOptions = {}): Promise<SseClient> =>
    SseClient.open(`${app.url}${caller.base}/progress`, { token: caller.token, ...options });
  const stands = async (client: SseClient): Promise<boolean> => {
    await until(() => client.frames.length > 0 || client.ended);
    return client.frames.length > 0;
  };

  it('are counted over all instances, exactly, also when many come at once', async () => {
    const viewer = await one.caller('viewer');
    const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => open(i % 2 ? one : two, viewer)));
    const standing = [];
    for (const client of clients) if (await stands(client)) standing.push(client);
    expect(standing).toHaveLength(3);
    const { body } = await viewer.get('/stats').expect(200);
    expect(body.streams).toEqual({ open: 3 });
    // Another project has places of its own.
    using other = await open(one, await one.caller('viewer'));
    expect(await stands(other)).toBe(true);
    standing[0]!.cut();
    await until(async () => {
      using again = await open(two, viewer);
      return await stands(again);
    }, 'the place of the one that left');
    for (const client of standing) client.cut();
    const key = one.get(ProgressKeys).streams(viewer.projectId as ProjectId);
    await until(async () => (await one.state.exists(key)) === 0, 'every place to be given back');
  });

  it('of an instance that died come back by themselves', async () => {
    const viewer = await one.caller('viewer');
    const key = one.get(ProgressKeys).streams(viewer.projectId as ProjectId);
    const [seconds] = await one.state.time();
    const at = (ms: number): number => Number(seconds) * 1000 + ms;
    // Three streams of an instance that does not renew any more; the last place runs out in a moment.
    await one.state.zadd(key, at(60_000), 'a');
    await one.state.zadd(key, at(60_000), 'b');
    await one.state.zadd(key, at(1200), 'c');
    using early = await open(one, viewer);
    expect(await stands(early)).toBe(false);
    await until(async () => {
      using late = await open(one, viewer);
      return await stands(late);
    }, 'the place that ran out');
    expect(await one.state.zrange(key, '0', '-1')).toEqual(expect.arrayContaining(['a', 'b']));
  });

  it('are renewed while there is room, and lost to others by an instance that was frozen for too long', async () => {
    const projectId = newProject();
    const places = one.get(StreamPlaces);
    for (const stream of ['a', 'b', 'c']) expect(await places.take(projectId, stream)).toBe(true);
    expect(await places.take(projectId, 'd')).toBe(false);
    expect(await places.renew(projectId, ['a', 'b', 'c'])).toEqual([]);
    const key = one.get(ProgressKeys).streams(projectId);
    await one.state.zadd(key, 1, 'a', 1, 'b');
    expect(await places.take(projectId, 'd')).toBe(true);
    expect(await places.renew(projectId, ['a', 'b', 'c'])).toEqual(['b']);
    expect(await places.count(projectId)).toBe(3);
    expect(await one.state.pttl(key)).toBeGreaterThan(0);
    expect(await one.state.pttl(key)).toBeLessThanOrEqual(40_000);
  });

  it('are not kept by those who go away while they come, nor by those who are refused', async () => {
    const viewer = await one.caller('viewer');
    const url = `${one.url}${viewer.base}/progress`;
    await Promise.all(Array.from({ length: 200 }, () => SseClient.abort(url, { token: viewer.token })));
    const key = one.get(ProgressKeys).streams(viewer.projectId as ProjectId);
    await until(async () => {
      using client = await open(one, viewer);
      return await stands(client);
    }, 'a place');
    await until(async () => (await one.state.exists(key)) === 0, 'every place to be given back');
  });
});

describe.concurrent('a stream and the session that opened it', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  async function session(): Promise<Caller & { sessionToken: string }> {
    const owner = await app.caller('owner');
    const { body } = await owner.post('/sessions').send({}).expect(201);
    return { ...owner, sessionToken: body.token as string };
  }
  const as = (token: string) => ({ authorization: `Session ${token}` });
  const logOut = ({ base, sessionToken }: Caller & { sessionToken: string }) =>
    app.anonymous.delete(`${base}/sessions/current`).set(as(sessionToken)).expect(204);

  it('ends soon after its log-out, and those of other sessions stay', async () => {
    const [user, other] = [await session(), await session()];
    const url = ({ base }: Caller): string => `${app.url}${base}/progress`;
    using client = await SseClient.open(url(user), { cookie: `session=${user.sessionToken}` });
    using stays = await SseClient.open(url(other), { cookie: `session=${other.sessionToken}` });
    using byToken = await SseClient.open(url(user), { token: user.token });
    await Promise.all([client.until('$snapshot'), stays.until('$snapshot'), byToken.until('$snapshot')]);
    await logOut(user);
    await until(() => client.ended, 'the stream to end', 15_000);
    expect(client.comments.at(-1)).toBe('credential expired');
    expect((await client.reconnect()).status).toBe(401);
    expect([stays.closed, byToken.closed]).toEqual([false, false]);
  });

  it('ends with it when it was opened by a ticket, whose cookie is then worth nothing', async () => {
    const user = await session();
    const path = `${user.base}/progress`;
    const issue = async (): Promise<string> =>
      (await app.anonymous.post(`${path}/tickets`).set(as(user.sessionToken)).expect(201)).body.ticket as string;
    const unused = await issue();
    using client = await SseClient.open(`${app.url}${path}?ticket=${await issue()}`);
    await client.until('$snapshot');
    const cookie = client.response.headers['set-cookie']![0]!.split(';', 1)[0]!;
    await logOut(user);
    await app.anonymous.get(path).set('Cookie', cookie).expect(401);
    await app.anonymous.get(`${path}?ticket=${unused}`).expect(401);
    await until(() => client.ended, 'the stream to end', 15_000);
  });

  it('goes on past the end of the session as it stood at opening, when the session is used', async () => {
    const owner = await app.caller('owner');
    const { body } = await owner.post('/sessions').send({ ttl_seconds: 4 }).expect(201);
    const token = body.token as string;
    using client = await SseClient.open(`${app.url}${owner.base}/progress`, { cookie: `session=${token}` });
    await client.until('$snapshot');
    const first = Date.parse(body.expires_at as string);
    await until(async () => {
      await app.anonymous.get(`${owner.base}/sessions/current`).set(as(token)).expect(200);
      return Date.now() > first + 2000;
    });
    expect(client.closed).toBe(false);
    await until(() => client.ended, 'the stream to end with the session', 15_000);
  });
});

describe('the age of a stream', () => {
  it('is limited: it ends cleanly, comes back at once, and loses nothing', async () => {
    await using app = await TestApp.start({ env: { PROGRESS_STREAM_MAX_SECONDS: '2' } });
    const viewer = await app.caller('viewer');
    using client = await SseClient.open(`${app.url}${viewer.base}/progress`, { token: viewer.token });
    await client.until('$snapshot');
    await until(() => client.ended, 'the stream to end');
    expect(client.comments.at(-1)).toBe('maximum age');
    expect(client.retry).toBeLessThanOrEqual(1000);
    const event = { type: 'missed', data: {} };
    const { id } = await app.get(ProgressService).publish(viewer.projectId as ProjectId, event);
    using again = await client.reconnect();
    await again.receive(1);
    expect(again.frames.map((frame) => frame.id)).toEqual([id]);
  });
});
