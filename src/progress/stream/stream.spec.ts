import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { SseClient, type SseOptions } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { PurgeRegistry } from '../../purge/purge.registry.js';
import { ProgressService } from '../progress.service.js';

describe('event streams', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  const open = (caller: Caller, query = '', options: SseOptions = {}): Promise<SseClient> =>
    SseClient.open(`${app.url}${caller.base}/progress${query}`, { token: caller.token, ...options });
  const say = (caller: Caller, type: string, data: object = {}, operation_id?: string): Promise<{ id: string }> =>
    progress.publish(caller.projectId as ProjectId, { type, data, operation_id });

  it('sends headers and first bytes at once, then a snapshot, then each event with its id, in order', async () => {
    const viewer = await app.caller('viewer');
    await say(viewer, 'before', { status: 'started', total: 2 }, 'a');
    using client = await open(viewer);
    expect(client.status).toBe(200);
    expect(client.response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    await client.receive(1);
    expect(client.raw).toMatch(/^retry: \d+\n: connected\n\n/);
    const ids: string[] = [];
    for (let i = 0; i < 50; i += 1) ids.push((await say(viewer, 'step', { i })).id);
    const [snapshot, ...events] = await client.receive(51);
    expect(snapshot!.json).toMatchObject({ type: '$snapshot', id: snapshot!.id });
    expect(snapshot!.json.data['operations']).toMatchObject([{ operation_id: 'a', status: 'started', total: 2 }]);
    expect(events.map(({ id }) => id)).toEqual(ids);
    expect(events.map(({ json }) => json)).toEqual(ids.map((id, i) => ({ type: 'step', data: { i }, id })));
    for (const frame of client.frames) expect(frame.event).toBeUndefined();
  });

  it('gives every client every event exactly once and in order, however often it is cut while events come', async () => {
    const viewer = await app.caller('viewer');
    const total = 600;
    let published = 0;
    const publishing = (async () => {
      for (; published < total; published += 1) await say(viewer, 'step', { i: published });
    })();
    const clients = await Promise.all(
      Array.from({ length: 6 }, async (_, n) => {
        let client = await open(viewer);
        await client.until('$snapshot');
        const seen: number[] = [];
        const since = client.frames[0]!.id!;
        for (let cut = 1; cut <= 5; cut += 1) {
          await until(() => published >= cut * 90 + n * 7, 'events to go on');
          client.cut();
          seen.push(...client.events.map(({ json }) => json.data['i'] as number));
          client = await client.reconnect();
        }
        await publishing;
        await until(() => client.events.at(-1)?.json.data['i'] === total - 1, 'the last event');
        seen.push(...client.events.map(({ json }) => json.data['i'] as number));
        client.cut();
        return { seen, first: Number(since.split('-')[1]) };
      }),
    );
    for (const { seen, first } of clients) {
      expect(seen).toEqual(Array.from({ length: total - first }, (_, i) => first + i));
    }
  });

  it('continues after last_event_id too, and lets the header win', async () => {
    const viewer = await app.caller('viewer');
    const [first, second] = [await say(viewer, 'one'), await say(viewer, 'two'), await say(viewer, 'three')];
    using byQuery = await open(viewer, `?last_event_id=${first!.id}`);
    await byQuery.receive(2);
    expect(byQuery.types()).toEqual(['two', 'three']);
    using byHeader = await open(viewer, `?last_event_id=${first!.id}`, { after: second!.id });
    await byHeader.receive(1);
    expect(byHeader.types()).toEqual(['three']);
  });

  it('answers every cursor that it cannot continue with $reset and a snapshot, and then goes on', async () => {
    const viewer = await app.caller('viewer');
    const { id } = await say(viewer, 'one', { done: 1 }, 'a');
    const [epoch] = id.split('-') as [string];
    const other = await app.caller('viewer');
    const foreign = (await say(other, 'secret')).id;
    const bad = [`${epoch}-99`, 'otherepoch-1', foreign, 'x', '-1', `${epoch}-`, `${epoch}-1e3`, 'ü', '9'.repeat(300)];
    for (const after of bad) {
      using client = await open(viewer, `?last_event_id=${encodeURIComponent(after)}`);
      await client.receive(2);
      expect(client.types(), after).toEqual(['$reset', '$snapshot']);
      expect(client.lastEventId, after).toBe(id);
      expect(client.raw).not.toContain('secret');
      // Whoever got no further than $reset is told again.
      using again = await open(viewer, '', { after: client.frames[0]!.id });
      await again.receive(2);
      expect(again.types()).toEqual(['$reset', '$snapshot']);
    }
    using twice = await open(viewer, '?last_event_id=a&last_event_id=b');
    await twice.until('$snapshot');
    await say(viewer, 'two');
    await twice.until('two');
  });

  it('answers a cursor older than the log with $reset', async () => {
    await using small = await TestApp.start({ env: { PROGRESS_RETENTION: '100' } });
    const viewer = await small.caller('viewer');
    const service = small.get(ProgressService);
    const ids: string[] = [];
    for (let i = 0; i < 102; i += 1) {
      ids.push((await service.publish(viewer.projectId as ProjectId, { type: 'step', data: { i } })).id);
    }
    const url = `${small.url}${viewer.base}/progress`;
    using late = await SseClient.open(url, { token: viewer.token, after: ids[0] });
    await late.receive(2);
    expect(late.types()).toEqual(['$reset', '$snapshot']);
    using justInTime = await SseClient.open(url, { token: viewer.token, after: ids[1] });
    await justInTime.receive(100);
    expect(justInTime.frames.map(({ id }) => id)).toEqual(ids.slice(2));
  });

  it('shows one operation only when asked to, with its text so far, and ends with it; after that 204', async () => {
    const viewer = await app.caller('viewer');
    using early = await open(viewer, '?operation_id=a');
    await early.until('$snapshot');
    expect(early.frames[0]!.json.data).toEqual({ operations: [] });
    await say(viewer, 'delta', { text: 'abc', off: 0 }, 'a');
    await say(viewer, 'noise', {}, 'b');
    await say(viewer, 'noise');
    using midway = await open(viewer, '?operation_id=a');
    await midway.until('$snapshot');
    expect(midway.frames[0]!.json.data['operations']).toMatchObject([
      { operation_id: 'a', text: 'abc', text_length: 3 },
    ]);
    await say(viewer, 'delta', { text: 'def', off: 3 }, 'a');
    const cut = await open(viewer, '?operation_id=a');
    await cut.until('$snapshot');
    cut.cut();
    await say(viewer, 'done', { status: 'completed' }, 'a');
    await until(() => early.ended && midway.ended);
    expect(early.types()).toEqual(['$snapshot', 'delta', 'delta', 'done', '$end']);
    expect(midway.types()).toEqual(['$snapshot', 'delta', 'done', '$end']);

    using resumed = await cut.reconnect();
    await until(() => resumed.ended);
    expect(resumed.types()).toEqual(['done', '$end']);
    expect((await resumed.reconnect()).status).toBe(204);
    expect((await early.reconnect()).status).toBe(204);

    using visitor = await open(viewer, '?operation_id=a');
    await until(() => visitor.ended);
    expect(visitor.types()).toEqual(['$snapshot', '$end']);
    expect(visitor.frames[0]!.json.data['operations']).toMatchObject([{ status: 'completed', text: 'abcdef' }]);
    expect((await visitor.reconnect()).status).toBe(204);
  });

  it('joins a text at any moment: the snapshot and the deltas after it are the whole text', async () => {
    const viewer = await app.caller('viewer');
    const deltas = Array.from({ length: 300 }, (_, i) => `w${i}ö `);
    const whole = deltas.join('');
    let written = 0;
    const writing = (async () => {
      let off = 0;
      for (const text of deltas) {
        await say(viewer, 'delta', { text, off }, 'gen');
        off += Buffer.byteLength(text);
        written += 1;
      }
      await say(viewer, 'done', { status: 'completed' }, 'gen');
    })();
    const texts = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        await until(() => written >= n * 30);
        const client = await open(viewer, '?operation_id=gen');
        await until(() => client.ended, 'the end');
        const [operation] = client.frames[0]!.json.data['operations'] as { text?: string }[];
        return client.events.reduce(
          (text, { json }) => text + ((json.data['text'] as string) ?? ''),
          operation?.text ?? '',
        );
      }),
    );
    await writing;
    for (const text of texts) expect(text).toBe(whole);
  });

  it('tells of an operation whose worker stopped reporting, while a stream is open', async () => {
    const viewer = await app.caller('viewer');
    using client = await open(viewer, '?operation_id=a');
    await client.until('$snapshot');
    await say(viewer, 'work', { lease_seconds: 0.02, status: 'started' }, 'a');
    await until(() => client.ended, 'the end', 15_000);
    expect(client.events.at(-1)!.json.data).toEqual({ status: 'failed', error: 'lost' });
    expect(client.types().at(-1)).toBe('$end');
  });

  it('names the event field only when asked to, and keeps clear of the names of EventSource', async () => {
    const viewer = await app.caller('viewer');
    using client = await open(viewer, '?named=1');
    await client.until('$snapshot');
    for (const type of ['step', 'error', 'open', 'message']) await say(viewer, type);
    await client.receive(5);
    expect(client.frames.map(({ event }) => event)).toEqual(['$snapshot', 'step', 'op.error', 'op.open', 'op.message']);
    expect(client.types()).toEqual(['$snapshot', 'step', 'error', 'open', 'message']);
  });

  it('never mixes two projects', async () => {
    const [a, b] = [await app.caller('viewer'), await app.caller('viewer')];
    using toA = await open(a);
    using toB = await open(b);
    await Promise.all([toA.until('$snapshot'), toB.until('$snapshot')]);
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        Promise.all([say(a, 'step', { of: a.projectId, i }), say(b, 'step', { of: b.projectId, i })]),
      ),
    );
    await Promise.all([toA.receive(51), toB.receive(51)]);
    expect(toA.raw).not.toContain(b.projectId);
    expect(toB.raw).not.toContain(a.projectId);
    const foreign = `/v1/projects/${b.projectId}/progress`;
    await app.anonymous.get(foreign).set('Authorization', `Bearer ${a.token}`).expect(403);
    await app.anonymous.get(foreign).expect(401);
    await (await app.caller('viewer')).get('/progress?operation_id=a%3Ab').expect(400);
  });

  it('starts every open stream anew when the project is purged', async () => {
    const viewer = await app.caller('viewer');
    await say(viewer, 'one', {}, 'a');
    using client = await open(viewer);
    await client.receive(1);
    for (const { hook } of app.get(PurgeRegistry).hooks) await hook(viewer.projectId as ProjectId);
    await client.until('$reset');
    await say(viewer, 'two');
    await client.until('two');
    expect(client.types()).toEqual(['$snapshot', '$reset', '$snapshot', 'two']);
    expect(client.frames[2]!.json.data).toEqual({ operations: [] });
  });
});
