import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { ownRedis } from '../../test/support/own-redis.js';
import { newProject } from '../../test/support/projects.js';
import { TcpProxy } from '../../test/support/tcp-proxy.js';
import { until } from '../../test/support/until.js';
import { RedisConnections } from './redis-connections.js';
import { RedisSubscriber } from './redis-subscriber.js';

const listeners = async (app: TestApp, channel: string): Promise<unknown> =>
  ((await app.state.pubsub('NUMSUB', channel)) as unknown[])[1];

describe('the subscriber', () => {
  let app: TestApp;
  let subscriber: RedisSubscriber;
  beforeAll(async () => {
    app = await TestApp.start();
    subscriber = app.get(RedisSubscriber);
  });
  afterAll(() => app.close());

  it('hears a channel from its acknowledgement on, with all listeners on one subscription', async () => {
    const channel = app.keys.key(newProject(), 'x');
    const heard: string[] = [];
    const leaves = await Promise.all([
      subscriber.subscribe(channel, (message) => heard.push(`a ${message}`)),
      subscriber.subscribe(channel, (message) => heard.push(`b ${message}`)),
    ]);
    await app.state.publish(channel, '1');
    await until(() => heard.length === 2, 'both');
    expect(heard).toEqual(['a 1', 'b 1']);
    expect(await listeners(app, channel)).toBe(1);

    leaves[0]!();
    leaves[0]!();
    await app.state.publish(channel, '2');
    await until(() => heard.length === 3, 'the other one');
    expect(heard.at(-1)).toBe('b 2');

    leaves[1]!();
    await until(async () => (await listeners(app, channel)) === 0, 'the end of the subscription');
  });

  it('hears a channel that is left and entered again at once', async () => {
    const channel = app.keys.key(newProject(), 'x');
    const leave = await subscriber.subscribe(channel, () => undefined);
    leave();
    const heard = new Promise((resolve) => void subscriber.subscribe(channel, resolve));
    await until(async () => (await app.state.publish(channel, 'again')) === 1, 'a receiver');
    expect(await heard).toBe('again');
  });

  it('goes on when a listener throws', async () => {
    const channel = app.keys.key(newProject(), 'x');
    await subscriber.subscribe(channel, () => {
      throw new Error('a bug of the listener');
    });
    const heard = new Promise((resolve) => void subscriber.subscribe(channel, resolve));
    await app.state.publish(channel, 'still');
    expect(await heard).toBe('still');
  });

  it('hears wake-ups of all projects, and takes nothing else for one', async () => {
    const projectId = newProject();
    const woken: string[] = [];
    const leave = await subscriber.onWake((project, queue) => {
      if (project === projectId) woken.push(queue);
    });
    await app.state.publish(`proj:${projectId}:queue:a:b:wake`, '');
    await app.state.publish(app.keys.key(projectId, 'queue', 'embeddings', 'wake'), '');
    await until(() => woken.length > 0, 'the wake-up');
    expect(woken).toEqual(['embeddings']);
    leave();
  });
});

describe('the subscriber, when its connection breaks', () => {
  it('subscribes all again, then says so; what was published in between is lost', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const subscriber = app.get(RedisSubscriber);
    const channels = Array.from({ length: 1200 }, () => app.keys.key(newProject(), 'x'));
    const heard: string[] = [];
    await Promise.all(channels.map((channel) => subscriber.subscribe(channel, (message) => heard.push(message))));
    const woken = new Promise<string>((resolve) => void subscriber.onWake((_project, queue) => resolve(queue)));

    const back = new Promise<void>((resolve) => subscriber.onReconnect(resolve));
    await app.state.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await back;
    for (const channel of [channels[0]!, channels.at(-1)!]) expect(await app.state.publish(channel, channel)).toBe(1);
    await until(() => heard.length === 2, 'both messages');
    await app.state.publish(app.keys.key(newProject(), 'queue', 'q', 'wake'), '');
    expect(await woken).toBe('q');
  });

  it('finds out by itself that a link is half open, also while it shakes hands', async () => {
    await using redis = await ownRedis();
    await using proxy = await TcpProxy.to(redis.port);
    const server = { appUrl: proxy.through(redis.appUrl), adminUrl: redis.adminUrl };
    await using app = await TestApp.start({ servers: { state: server } });
    const subscriber = app.get(RedisSubscriber);
    const { subscriber: client } = app.get(RedisConnections);
    const channel = app.keys.key(newProject(), 'x');
    const heard: string[] = [];
    await subscriber.subscribe(channel, (message) => heard.push(message));

    const back = new Promise<void>((resolve) => subscriber.onReconnect(resolve));
    proxy.swallow = true;
    await until(() => client.status !== 'ready', 'the end of the dead link');
    const before = proxy.accepted;
    await until(() => proxy.accepted > before + 1, 'attempts to connect');
    proxy.swallow = false;
    await back;
    await app.state.publish(channel, 'here again');
    await until(() => heard.includes('here again'), 'the message');
  });

  it('refuses a new subscription while Redis hangs, and does not keep it', async () => {
    await using redis = await ownRedis();
    await using app = await TestApp.start({ servers: { state: redis } });
    const subscriber = app.get(RedisSubscriber);
    const channel = app.keys.key(newProject(), 'x');
    await redis.freeze();
    await expect(subscriber.subscribe(channel, () => undefined)).rejects.toMatchObject({ code: 'redis_unavailable' });
    expect(subscriber.channelCount).toBe(0);
    await redis.thaw();
    await until(async () => (await listeners(app, channel)) === 0, 'no listener');
  });
});
