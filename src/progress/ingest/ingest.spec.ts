import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { ProgressKeys } from '../progress.keys.js';
import { ProgressService } from '../progress.service.js';

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

  it('go on with another instance when the one that took them in stops', async () => {
    const viewer = await one.caller('viewer');
    const third = await TestApp.start();
    using gone = await open(third, viewer);
    await gone.receive(1);
    using client = await open(two, viewer);
    await client.receive(1);
    await publish(viewer, { type: 'before', data: {} });
    await client.until('before');
    await third.close();
    const key = two.get(ProgressKeys).ingest(viewer.projectId as ProjectId);
    await until(() => two.state.exists(key), 'another instance to hold the lease');
    await publish(viewer, { type: 'after', data: {} });
    await client.until('after');
    expect(client.types()).toEqual(['$snapshot', 'before', 'after']);
  });
});
