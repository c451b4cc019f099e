import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { MainProcess } from '../../../test/support/main-process.js';
import { JWT_SECRET } from '../../../test/support/projects.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressService } from '../progress.service.js';
import { RedisConnections } from '../../redis/redis-connections.js';
import { ProgressIngesters } from './progress-ingesters.js';

describe('messages that other programs publish', () => {
  let one: TestApp;
  let two: TestApp;
  beforeAll(async () => {
    [one, two] = await Promise.all([TestApp.start(), TestApp.start()]);
  });
  afterAll(() => Promise.all([one.close(), two.close()]));

  const open = (app: TestApp, caller: Caller, after?: string): Promise<SseClient> =>
    SseClient.open(`${app.url}${caller.base}/progress`, { token: caller.token, after });
  /** What a Python service does. */
  const publish = (caller: Caller, message: unknown): Promise<number> =>
    one.state.publish(
      `proj:${caller.projectId}:progress`,
      typeof message === 'string' ? message : JSON.stringify(message),
    );

  it('reach the streams of every instance once, with an id, in order, and are replayed', async () => {
    const viewer = await one.caller('viewer');
    using first = await open(one, viewer);
    using second = await open(two, viewer);
    await Promise.all([first.receive(1), second.receive(1)]);
    const since = first.lastEventId;
    for (let i = 0; i < 50; i += 1) await publish(viewer, { type: 'step', data: { i } });
    await Promise.all([first.receive(51), second.receive(51)]);
    // Ours come through the same log, and the mirror of ours is not taken in again.
    const { id } = await two.get(ProgressService).publish(viewer.projectId as ProjectId, { type: 'ours', data: {} });
    await Promise.all([first.until('ours'), second.until('ours')]);
    expect(first.frames.map(({ json }) => json.data['i'])).toEqual([undefined, ...Array(50).keys(), undefined]);
    expect(first.lastEventId).toBe(id);
    expect(second.frames.map(({ text }) => text)).toEqual(first.frames.map(({ text }) => text));
    using late = await open(two, viewer, since);
    await late.receive(51);
    expect(late.frames.map(({ text }) => text)).toEqual(first.frames.slice(1).map(({ text }) => text));
    expect(await one.state.xlen(one.get(ProgressKeys).log(viewer.projectId as ProjectId))).toBe(51);
  });

  it('stay two when they are equal, and carry their operation', async () => {
    const viewer = await one.caller('viewer');
    using client = await open(one, viewer);
    await client.receive(1);
    const message = { type: 'token', data: { operation_id: 'job', done: 1, total: 2, status: 'odd' } };
    await publish(viewer, message);
    await publish(viewer, message);
    await publish(viewer, { type: 'end', data: { status: 'completed' }, operation_id: 'job' });
    await client.receive(4);
    expect(client.types()).toEqual(['$snapshot', 'token', 'token', 'end']);
    expect(new Set(client.frames.map(({ id }) => id)).size).toBe(4);
    for (const { json } of client.events) expect(json.operation_id).toBe('job');
    const { body } = await viewer.get('/operations/job').expect(200);
    expect(body).toMatchObject({ status: 'completed', done: 1, total: 2 });
  });

  it('are dropped when they are no events, and the others go on', async () => {
    const viewer = await one.caller('viewer');
    using client = await open(one, viewer);
    await client.receive(1);
    const wrong = [
      'no json',
      '[]',
      'null',
      '{"data":{}}',
      '{"type":"$end","data":{}}',
      '{"type":"a\\nb","data":{}}',
      '{"type":"x","data":{},"id":"mine"}',
      JSON.stringify({ type: 'big', data: { x: 'x'.repeat(70_000) } }),
    ];
    for (const message of wrong) await publish(viewer, message);
    await publish(viewer, { type: 'text', data: { text: 'beyond', off: 100 }, operation_id: 'a' });
    await publish(viewer, '{"type":"good"}');
    await client.until('good');
    expect(client.types()).toEqual(['$snapshot', 'text', 'good']);
    expect(client.events.at(-1)!.json.data).toEqual({});
  });
});

describe('messages that other programs publish, when the instance that takes them in', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    vi.useRealTimers();
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function start(): Promise<TestApp> {
    const app = await TestApp.start();
    cleanups.push(() => app.close());
    return app;
  }
  const open = async (url: string, { base, token }: Caller): Promise<SseClient> => {
    const client = await SseClient.open(`${url}${base}/progress`, { token });
    cleanups.push(async () => client.cut());
    await client.receive(1);
    return client;
  };
  const leaseOf = (app: TestApp, { projectId }: Caller) => app.state.hgetall(`proj:${projectId}:progress:ingest`);
  /** Waits until whoever listens now has heard a mark. */
  async function aMark(app: TestApp, caller: Caller): Promise<void> {
    const { mark } = await leaseOf(app, caller);
    await until(async () => Number((await leaseOf(app, caller))['mark']) > Number(mark), 'a mark');
  }
  /** Publishes numbered messages without a pause, equal ones too, until told to stop. */
  function flow(app: TestApp, { projectId }: Caller) {
    let [sent, on] = [0, true];
    const done = (async () => {
      for (; on; sent += 1) {
        const message = JSON.stringify({ type: 'step', data: { n: sent >> 1 } });
        await app.state.publish(`proj:${projectId}:progress`, message);
      }
    })();
    const stop = async (): Promise<number[]> => {
      on = false;
      await done;
      return Array.from({ length: sent }, (_, i) => i >> 1);
    };
    return { stop, sent: () => sent };
  }
  const numbers = (client: SseClient) => client.events.map(({ json }) => json.data['n']);

  it('stops: another one goes on where it stopped', async () => {
    const [one, two] = [await start(), await TestApp.start()];
    const viewer = await one.caller('viewer');
    await open(two.url, viewer);
    const holder = (await leaseOf(one, viewer))['token'];
    const client = await open(one.url, viewer);
    await aMark(one, viewer);
    const messages = flow(one, viewer);
    await until(() => messages.sent() > 200);
    await two.close();
    await until(async () => (await leaseOf(one, viewer))['token'] !== holder, 'another holder');
    await until(() => client.events.length > 400);
    const sent = await messages.stop();
    await until(() => client.events.length >= sent.length, 'every message');
    expect(numbers(client)).toEqual(sent);
  });

  it(
    'is killed: another one goes on when the lease has run out, with everything since',
    { timeout: 60_000 },
    async () => {
      const one = await start();
      const viewer = await one.caller('viewer');
      const killed = new MainProcess({ REDIS_URL: inject('redis').stateUrl, AUTH_JWT_SECRET: JWT_SECRET });
      cleanups.push(() => killed[Symbol.asyncDispose]());
      await open(await killed.url(), viewer);
      const holder = (await leaseOf(one, viewer))['token'];
      const client = await open(one.url, viewer);
      await aMark(one, viewer);
      const messages = flow(one, viewer);
      await until(() => messages.sent() > 200);
      killed.signal('SIGKILL');
      await killed.exited;
      await until(() => messages.sent() > 400);
      const sent = await messages.stop();
      await until(() => client.events.length >= sent.length, 'every message', 15_000);
      expect(numbers(client)).toEqual(sent);
      expect((await leaseOf(one, viewer))['token']).not.toBe(holder);
    },
  );

  it('loses its subscriber connection: one that still hears goes on, with everything', async () => {
    const [one, two] = [await start(), await start()];
    const viewer = await one.caller('viewer');
    await open(two.url, viewer);
    const client = await open(one.url, viewer);
    await aMark(one, viewer);
    const messages = flow(one, viewer);
    await until(() => messages.sent() > 200);
    const { stream } = two.get(RedisConnections).subscriber as unknown as { stream: Socket };
    await one.state.call('CLIENT', 'KILL', 'ADDR', `127.0.0.1:${stream.localPort}`);
    await until(() => client.events.length > 600);
    const sent = await messages.stop();
    await until(() => client.events.length >= sent.length, 'every message');
    expect(numbers(client)).toEqual(sent);
  });

  it('and all others lose their connections: none is doubled, and it goes on', async () => {
    const [one, two] = [await start(), await start()];
    const viewer = await one.caller('viewer');
    await open(two.url, viewer);
    const client = await open(one.url, viewer);
    const messages = flow(one, viewer);
    for (let kills = 1; kills <= 5; kills += 1) {
      const seen = client.events.length;
      await until(() => client.events.length > seen + 100, 'messages to come in again');
      for (const app of [one, two]) {
        const { stream } = app.get(RedisConnections).subscriber as unknown as { stream: Socket };
        await one.state.call('CLIENT', 'KILL', 'ADDR', `127.0.0.1:${stream.localPort}`);
      }
    }
    await messages.stop();
    await one.state.publish(`proj:${viewer.projectId}:progress`, '{"type":"last"}');
    const seen = numbers(client) as number[];
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const times = new Map<number, number>();
    for (const n of seen) times.set(n, (times.get(n) ?? 0) + 1);
    expect(Math.max(...times.values())).toBe(2);
  });

  it('has no stream any more: it goes on for two minutes, and then gives its lease back', async () => {
    const app = await start();
    const viewer = await app.caller('viewer');
    const projectId = viewer.projectId as ProjectId;
    const log = app.get(ProgressKeys).log(projectId);
    const use = app.get(ProgressIngesters).use(projectId);
    await use.ready;
    // What waits here must not count on timers, which the test moves.
    const eventually = async (condition: () => Promise<boolean>): Promise<void> => {
      while (!(await condition())) await new Promise(setImmediate);
    };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    use.release();
    vi.advanceTimersByTime(119_999);
    await app.state.publish(`proj:${projectId}:progress`, '{"type":"late"}');
    await eventually(async () => (await app.state.xlen(log)) === 1);
    vi.advanceTimersByTime(1);
    await eventually(async () => (await leaseOf(app, viewer))['token'] === undefined);
    await eventually(async () => (await app.state.publish(`proj:${projectId}:progress`, '{"type":"too late"}')) === 0);
    expect(await app.state.xlen(log)).toBe(1);
  });
});
