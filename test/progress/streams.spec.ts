import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { ProgressHub } from '../../src/progress/hub/progress-hub.js';
import { ProgressKeys } from '../../src/progress/progress.keys.js';
import { ProgressService } from '../../src/progress/progress.service.js';
import { RedisSubscriber } from '../../src/redis/redis-subscriber.js';
import { type Caller, TestApp } from '../support/app.js';
import { ownRedis } from '../support/own-redis.js';
import { newProject } from '../support/projects.js';
import { SseClient } from '../support/sse-client.js';
import { until } from '../support/until.js';
import { random } from '../support/random.mjs';
import { scaled } from '../support/scale.js';

const MINUTES = 60_000;
const DELTAS = scaled(1000, 5000);
const CYCLES = scaled(500, 10_000);
const PROJECTS = scaled(40, 200);

describe('streams in number', () => {
  let app: TestApp;
  let redis: Awaited<ReturnType<typeof ownRedis>>;
  beforeAll(async () => {
    // A server of its own: its connections are counted.
    redis = await ownRedis();
    app = await TestApp.start({ servers: { state: redis }, env: { PROGRESS_MAX_STREAMS: '20000' } });
  });
  afterAll(async () => {
    await app.close();
    await redis[Symbol.asyncDispose]();
  });

  const urlOf = ({ base }: Caller): string => `${app.url}${base}/progress`;
  const pubsubClients = async (): Promise<number> => {
    const list = String(await app.state.call('CLIENT', 'LIST', 'TYPE', 'pubsub'));
    return list.split('\n').filter(Boolean).length;
  };

  it(
    `show a text of ${DELTAS} deltas whole, at whichever of 50 moments they join it`,
    { timeout: 5 * MINUTES },
    async () => {
      const viewer = await app.caller('viewer');
      const progress = app.get(ProgressService);
      const next = random(7);
      const moments = Array.from({ length: 50 }, () => Math.floor(next() * DELTAS)).sort((a, b) => a - b);
      const clients: Promise<SseClient>[] = [];
      const letters = ['a', 'ü', '€', '🌍', '\n', '"', ' '];
      let text = '';
      for (let i = 0; i < DELTAS; i += 1) {
        while (moments[0] === i) {
          moments.shift();
          // Not awaited: it joins while the text goes on.
          clients.push(SseClient.open(`${urlOf(viewer)}?operation_id=answer`, { token: viewer.token }));
        }
        const piece = Array.from({ length: 1 + Math.floor(next() * 8) }, () => letters[Math.floor(next() * 7)]).join(
          '',
        );
        const data = { off: Buffer.byteLength(text), text: piece };
        await until(
          () =>
            progress
              .publish(
                viewer.projectId as ProjectId,
                { type: 'delta', data, operation_id: 'answer' },
                { idempotencyKey: `${i}` },
              )
              .catch(() => undefined),
          'Redis to take a delta',
        );
        text += piece;
      }
      await progress.publish(viewer.projectId as ProjectId, {
        type: 'end',
        data: { status: 'completed' },
        operation_id: 'answer',
      });
      for (const opening of clients) {
        const client = await opening;
        await until(() => client.ended, 'the end', MINUTES);
        const [snapshot] = client.frames;
        const [operation] = snapshot!.json.data['operations'] as { text?: string }[];
        let holes = 0;
        let seen = Buffer.from(operation?.text ?? '');
        for (const { json } of client.events) {
          const { off, text: piece } = json.data as { off?: number; text?: string };
          if (off === undefined) continue;
          if (off !== seen.length) holes += 1;
          seen = Buffer.concat([seen, Buffer.from(piece!)]);
        }
        expect(holes).toBe(0);
        expect(seen.toString()).toBe(text);
        expect(client.types().slice(-2)).toEqual(['end', '$end']);
      }
    },
  );

  it(
    `leave nothing after ${CYCLES} that connect and go away, wherever they are then`,
    { timeout: 10 * MINUTES },
    async () => {
      await using own = await TestApp.start({ env: { PROGRESS_MAX_STREAMS: '20000' } });
      const owner = await own.caller('owner');
      const { body } = await own.anonymous
        .post(`${owner.base}/sessions`)
        .set('Authorization', `Bearer ${owner.token}`)
        .send({})
        .expect(201);
      const url = `${own.url}${owner.base}/progress`;
      const opened = await SseClient.open(url, { token: owner.token });
      await opened.receive(1);
      opened.cut();
      const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
      const [hub, subscriber] = [own.get(ProgressHub), own.get(RedisSubscriber)];
      await until(() => hub.feeds === 0);
      const before = { timers: timers(), channels: subscriber.channelCount };
      // By token; by session, whose guard asks Redis; and some that see the first bytes.
      const cycle = async (i: number): Promise<void> => {
        const credential = i % 2 ? { token: owner.token } : { cookie: `session=${body.token as string}` };
        if (i % 3 > 0) return SseClient.abort(url, credential);
        const client = await SseClient.open(url, credential).catch(() => undefined);
        client?.cut();
      };
      for (let i = 0; i < CYCLES; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => cycle(i + j)));
      await until(() => hub.feeds === 0, 'every feed to end');
      const places = own.get(ProgressKeys).streams(owner.projectId as ProjectId);
      await until(async () => (await own.state.exists(places)) === 0, 'every place to be given back');
      await until(() => timers() <= before.timers + 2, 'every timer to be gone', MINUTES);
      await until(() => subscriber.channelCount === before.channels, 'every subscription to end');
      expect(own.nest.getHttpServer().listenerCount('close')).toBeLessThan(10);
    },
  );

  it(
    `need one subscriber connection a process, for one project or ${PROJECTS}, for one stream or ${CYCLES / 10}`,
    { timeout: 5 * MINUTES },
    async () => {
      const before = await pubsubClients();
      const viewer = await app.caller('viewer');
      const clients = await Promise.all(
        Array.from({ length: CYCLES / 10 }, () => SseClient.open(urlOf(viewer), { token: viewer.token })),
      );
      for (const client of clients) await client.receive(1);
      const others = await Promise.all(
        Array.from({ length: PROJECTS }, async () => {
          const caller = await app.caller('viewer', newProject());
          return SseClient.open(urlOf(caller), { token: caller.token });
        }),
      );
      for (const client of others) await client.receive(1);
      expect(await pubsubClients()).toBe(before);
      for (const client of [...clients, ...others]) client.cut();
      await until(() => app.get(ProgressHub).feeds === 0, 'every feed to end');
    },
  );
});
