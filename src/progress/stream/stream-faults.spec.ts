import { randomUUID } from 'node:crypto';
import { EventSource } from 'eventsource';
import { afterEach, describe, expect, it } from 'vitest';
import type { RedisServer } from '../../../scripts/lib/redis-server.mjs';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { ownRedis } from '../../../test/support/own-redis.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressService } from '../progress.service.js';

describe('event streams in trouble', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function redis(): Promise<RedisServer> {
    const server = await ownRedis();
    cleanups.push(async () => server[Symbol.asyncDispose]());
    return server;
  }

  async function appOn(server: RedisServer): Promise<TestApp> {
    const app = await TestApp.start({ servers: { state: server } });
    // Its Redis goes away on purpose.
    app.state.on('error', () => undefined);
    cleanups.push(() => app.close());
    return app;
  }

  const open = (app: TestApp, caller: Caller, options: { after?: string; accept?: string } = {}): Promise<SseClient> =>
    SseClient.open(`${app.url}${caller.base}/progress`, { token: caller.token, ...options });

  /** Connects again until it is not turned away, as a browser does. */
  function comeBack(client: SseClient): Promise<SseClient> {
    return until(async () => {
      const again = await client.reconnect();
      await until(() => again.frames.length > 0 || again.ended);
      return again.frames.length > 0 ? again : undefined;
    }, 'a stream that stands');
  }

  /** Publishes until Redis has it, under a key that makes the repetition safe, as a careful producer does. */
  async function insist(
    app: TestApp,
    caller: Caller,
    type: string,
    data: object,
    operation_id?: string,
  ): Promise<void> {
    const idempotencyKey = randomUUID();
    await until(
      () =>
        app
          .get(ProgressService)
          .publish(caller.projectId as ProjectId, { type, data, operation_id }, { idempotencyKey })
          .catch(() => undefined),
      'Redis to take the event',
    );
  }

  it('lose nothing and repeat nothing when pub/sub connections are killed again and again', async () => {
    const server = await redis();
    const [one, two] = [await appOn(server), await appOn(server)];
    const viewer = await one.caller('viewer');
    const clients = [await open(one, viewer), await open(one, viewer), await open(two, viewer)];
    for (const client of clients) await client.receive(1);
    for (let i = 0; i < 1000; i += 1) {
      if (i % 200 === 100) await one.state.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await insist(one, viewer, 'step', { i });
    }
    for (const client of clients) await until(() => client.events.length >= 1000, 'all events');
    for (const client of clients) {
      expect(client.events.map(({ json }) => json.data['i'])).toEqual([...Array(1000).keys()]);
      expect(client.types()).not.toContain('$reset');
      client.cut();
    }
  });

  it('find the loss of a last event, which no gap shows', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    using client = await open(app, viewer);
    await client.receive(1);
    // Nothing arrives on the channel: the event is only in the log.
    const keys = `proj:${viewer.projectId}:progress`;
    const [epoch] = client.frames[0]!.id!.split('-') as [string];
    const json = `{"type":"last","data":{},"id":"${epoch}-1"}`;
    await app.state.xadd(`${keys}:log`, '1-0', 'e', json, 'o', '', 'x', '', 't', String(Date.now()));
    await app.state.hset(`${keys}:meta`, 'seq', 1);
    await client.until('last');
  });

  it('get exactly one $reset each when Redis comes back empty, and go on', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    await insist(app, viewer, 'before', {});
    const clients = await Promise.all([open(app, viewer), open(app, viewer), open(app, viewer)]);
    for (const client of clients) await client.receive(1);
    await server.restart({ empty: true });
    for (const client of clients) await client.until('$reset');
    for (let i = 0; i < 20; i += 1) await insist(app, viewer, 'after', { i });
    for (const client of clients) await until(() => client.events.length >= 20);
    for (const client of clients) {
      expect(client.types().filter((type) => type.startsWith('$'))).toEqual(['$snapshot', '$reset', '$snapshot']);
      // What came between the restart and the snapshot is in neither: the snapshot is what is true since then.
      const seen = client.events.map(({ json }) => json.data['i']);
      expect(seen).toEqual([...Array(20).keys()]);
      client.cut();
    }
  });

  it('give out no number twice after a restart that kept the data', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    await insist(app, viewer, 'before', {});
    const client = await open(app, viewer);
    await client.receive(1);
    client.cut();
    await server.restart();
    await insist(app, viewer, 'after', {});
    using again = await comeBack(client);
    await again.receive(2);
    expect(again.types()).toEqual(['$reset', '$snapshot']);
    expect(again.lastEventId!.split('-')[0]).not.toBe(client.lastEventId!.split('-')[0]);
  });

  it('stay open while Redis hangs, and have everything afterwards', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    using client = await open(app, viewer);
    await client.receive(1);
    await insist(app, viewer, 'step', { i: 0 });
    await server.freeze();
    const refused = app.get(ProgressService).publish(viewer.projectId as ProjectId, { type: 'lost', data: {} });
    await expect(refused).rejects.toMatchObject({ code: 'redis_unavailable' });
    expect(client.closed).toBe(false);
    await server.thaw();
    for (let i = 1; i < 20; i += 1) await insist(app, viewer, 'step', { i });
    await until(() => client.events.length >= 20);
    expect(client.events.map(({ json }) => json.data['i'])).toEqual([...Array(20).keys()]);
  });

  it('turn a browser away softly while Redis is away, and others with 503', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    await server.stop();
    const client = await open(app, viewer);
    await until(() => client.ended);
    expect([client.status, client.frames.length]).toEqual([200, 0]);
    expect(client.retry).toBeGreaterThanOrEqual(1000);
    const { body } = await viewer.get('/progress').set('Accept', 'application/json').expect(503);
    expect(body.code).toBe('redis_unavailable');
    await server.restart();
    (await comeBack(client)).cut();
  });

  it('turn a browser away softly also when its session or its ticket cannot be looked up', async () => {
    const server = await redis();
    const app = await appOn(server);
    const owner = await app.caller('owner');
    const session = (await owner.post('/sessions').send({}).expect(201)).body.token as string;
    const { ticket } = (await owner.post('/progress/tickets').expect(201)).body as { ticket: string };
    const url = `${app.url}${owner.base}/progress`;
    const browser = await SseClient.open(url, { cookie: `session=${session}` });
    await browser.receive(1);
    await server.freeze();
    browser.cut();
    const asking = [browser.reconnect(), SseClient.open(`${url}?ticket=${ticket}`)];
    for (const client of await Promise.all(asking)) {
      await until(() => client.ended);
      expect([client.status, client.frames.length, client.comments]).toEqual([
        200,
        0,
        ['connected', 'redis_unavailable'],
      ]);
      expect(client.response.headers['set-cookie']).toBeUndefined();
    }
    const { body } = await app.anonymous.get(`${owner.base}/progress`).set('Cookie', `session=${session}`).expect(503);
    expect(body.code).toBe('redis_unavailable');
    await server.thaw();
    // The ticket was not used up by that.
    (await comeBack(await SseClient.open(`${url}?ticket=${ticket}`))).cut();
    // What will not pass is said as it is.
    expect((await SseClient.open(url, { cookie: 'session=unknown' })).status).toBe(401);
  });

  it('end with the session also while Redis, which holds it, does not answer', async () => {
    const server = await redis();
    const app = await appOn(server);
    const owner = await app.caller('owner');
    const { body } = await owner.post('/sessions').send({ ttl_seconds: 3 }).expect(201);
    const client = await SseClient.open(`${app.url}${owner.base}/progress`, {
      cookie: `session=${body.token as string}`,
    });
    await client.until('$snapshot');
    await server.freeze();
    await until(() => client.ended, 'the stream to end', 15_000);
    expect(client.comments.at(-1)).toBe('credential expired');
    await server.thaw();
  });

  it('go on when Redis is full: what ends an operation is still published, anything else is refused with 507', async () => {
    const server = await redis();
    const app = await appOn(server);
    const editor = await app.caller('editor');
    const say = (data: object) => editor.post('/progress').send({ type: 'step', data, operation_id: 'a' });
    await say({ status: 'started' }).expect(202);
    await app.state.config('SET', 'maxmemory', '1mb');
    expect((await say({ done: 1 }).expect(507)).body.code).toBe('storage_full');
    using client = await SseClient.open(`${app.url}${editor.base}/progress?operation_id=a`, { token: editor.token });
    await client.receive(1);
    await say({ status: 'failed', error: 'no room' }).expect(202);
    await until(() => client.ended);
    expect(client.types()).toEqual(['$snapshot', 'step', '$end']);
  });

  it('let a reader that pauses catch up from the log, losing nothing, at no cost to the others', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    using slow = await open(app, viewer);
    using fast = await open(app, viewer);
    await Promise.all([slow.receive(1), fast.receive(1)]);
    slow.pause();
    const x = 'x'.repeat(20_000);
    for (let i = 0; i < 300; i += 1) await insist(app, viewer, 'step', { i, x });
    await fast.receive(301);
    slow.response.resume();
    await slow.receive(301);
    expect(slow.events.map(({ json }) => json.data['i'])).toEqual([...Array(300).keys()]);
    expect(slow.types()).not.toContain('$reset');
  });

  it('merge text and counts for a reader that was too slow, and nothing else, and nothing for the others', async () => {
    const server = await redis();
    const app = await appOn(server);
    const viewer = await app.caller('viewer');
    using slow = await open(app, viewer);
    using fast = await open(app, viewer);
    await Promise.all([slow.receive(1), fast.receive(1)]);
    slow.pause();
    const say = (type: string, data: object) => insist(app, viewer, type, data, 'a');
    // More than what sockets hold by themselves.
    const filler = 'x'.repeat(60_000);
    for (let i = 0; i < 120; i += 1) await say('filler', { i, filler });
    let text = '';
    for (let i = 0; i < 400; i += 1) {
      const piece = `ü${i} `;
      await say('delta', { off: Buffer.byteLength(text), text: piece });
      text += piece;
      await say('count', { done: i, total: 400 });
      if (i % 100 === 50) await say('stage', { stage: `s${i}` });
    }
    await say('end', { status: 'completed' });
    await fast.until('end');
    slow.response.resume();
    await slow.until('end');
    const of = (client: SseClient, type: string) => client.events.filter(({ json }) => json.type === type);
    expect(fast.events).toHaveLength(120 + 805);
    expect(of(slow, 'filler').map(({ json }) => json.data['i'])).toEqual([...Array(120).keys()]);
    expect(of(slow, 'delta').length).toBeLessThan(40);
    expect(
      of(slow, 'delta')
        .map(({ json }) => json.data['text'])
        .join(''),
    ).toBe(text);
    expect(of(slow, 'count').at(-1)!.json.data).toEqual({ done: 399, total: 400 });
    expect(of(slow, 'stage').map(({ json }) => json.data['stage'])).toEqual(['s50', 's150', 's250', 's350']);
    expect(slow.lastEventId).toBe(fast.lastEventId);
  });

  it('end cleanly with a retry when the process stops, and lose nothing on the way to the next one', async () => {
    const server = await redis();
    const [one, two] = [await TestApp.start({ servers: { state: server } }), await appOn(server)];
    const viewer = await one.caller('viewer');
    const clients = await Promise.all(Array.from({ length: 20 }, () => open(one, viewer)));
    for (const client of clients) await client.receive(1);
    await insist(two, viewer, 'before', {});
    for (const client of clients) await client.until('before');
    await one.close();
    for (const client of clients) {
      await until(() => client.ended, 'a clean end');
      expect(client.comments.at(-1)).toBe('shutting down');
    }
    expect(new Set(clients.map(({ retry }) => retry)).size).toBeGreaterThan(10);
    await insist(two, viewer, 'after', {});
    using again = await open(two, viewer, { after: clients[0]!.lastEventId! });
    await again.until('after');
    expect(again.types()).toEqual(['after']);
  });

  it('does not lose a native EventSource to a restart of the process', async () => {
    const server = await redis();
    const one = await TestApp.start({ servers: { state: server } });
    const viewer = await one.caller('viewer');
    let { url } = one;
    const received: string[] = [];
    const source = new EventSource(`${one.url}${viewer.base}/progress`, {
      fetch: (asked, init) =>
        fetch(String(asked).replace(one.url, url), {
          ...init,
          headers: { ...init.headers, authorization: `Bearer ${viewer.token}` },
        }),
    });
    source.addEventListener('message', ({ data }) =>
      received.push((JSON.parse(data as string) as { type: string }).type),
    );
    await until(() => received.length === 1);
    await one.close();
    const two = await appOn(server);
    url = two.url;
    await insist(two, viewer, 'while it was away', {});
    await until(() => received.includes('while it was away'));
    expect(received).toEqual(['$snapshot', 'while it was away']);
    source.close();
  });
});
