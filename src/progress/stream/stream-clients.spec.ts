import { EventSource } from 'eventsource';
import { firstValueFrom, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../../test/support/app.js';
import { newProject } from '../../../test/support/projects.js';
import { SseClient } from '../../../test/support/sse-client.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import { MetricsRegistry } from '../../common/metrics-registry.js';
import { RedisSubscriber } from '../../redis/redis-subscriber.js';
import { ProgressHub } from '../hub/progress-hub.js';
import { ProgressService } from '../progress.service.js';

describe('clients of event streams', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  const say = (caller: Caller, type: string, data: object = {}, operation_id?: string): Promise<{ id: string }> =>
    progress.publish(caller.projectId as ProjectId, { type, data, operation_id });

  it('refuses more streams than allowed: softly to a browser, with 429 to others', async () => {
    await using small = await TestApp.start({ env: { PROGRESS_MAX_STREAMS: '2' } });
    const viewer = await small.caller('viewer');
    const url = `${small.url}${viewer.base}/progress`;
    const { token } = viewer;
    using first = await SseClient.open(url, { token });
    using second = await SseClient.open(url, { token });
    await Promise.all([first.receive(1), second.receive(1)]);
    using third = await SseClient.open(url, { token });
    await until(() => third.ended);
    expect([third.status, third.frames.length, third.comments.length > 0]).toEqual([200, 0, true]);
    expect(third.retry).toBeGreaterThanOrEqual(1000);
    const refused = await viewer.get('/progress').set('Accept', 'application/json').expect(429);
    expect(refused.body).toMatchObject({ code: 'too_many_connections', rule: 'PROGRESS_MAX_STREAMS' });
    expect(refused.headers['retry-after']).toBe('5');
    first.cut();
    await until(async () => {
      using again = await SseClient.open(url, { token });
      await until(() => again.frames.length > 0 || again.ended);
      return again.frames.length > 0;
    }, 'the place of the one that left');
  });

  it('lets a native EventSource follow, reconnect without losing an event, and stop after the end', async () => {
    const viewer = await app.caller('viewer');
    const received: string[] = [];
    const sent: (string | null)[] = [];
    const source = new EventSource(`${app.url}${viewer.base}/progress?operation_id=job`, {
      fetch: (url, init) => {
        sent.push(new Headers(init.headers).get('last-event-id'));
        return fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${viewer.token}` } });
      },
    });
    source.addEventListener('message', ({ data }) =>
      received.push((JSON.parse(data as string) as { type: string }).type),
    );
    await until(() => received.includes('$snapshot'));
    await say(viewer, 'one', {}, 'job');
    await say(viewer, 'two', { status: 'completed' }, 'job');
    await until(() => source.readyState === EventSource.CLOSED, '204 to close it');
    expect(received).toEqual(['$snapshot', 'one', 'two', '$end']);
    expect(sent).toHaveLength(2);
  });

  it('is a cold Observable for modules: each subscription a stream of its own, ended by its signal', async () => {
    const projectId = newProject();
    const controller = new AbortController();
    const opened: Promise<void> = new Promise((resolve) => {
      void firstValueFrom(
        progress.stream(projectId, { signal: controller.signal, opened: () => resolve() }).pipe(toArray()),
      ).then((events) => all.push(...events.map(({ type }) => type)));
    });
    const all: string[] = [];
    await opened;
    const follow = firstValueFrom(progress.stream(projectId, { operationId: 'a' }).pipe(toArray()));
    await until(() => app.get(ProgressHub).feeds > 0);
    await progress.publish(projectId, { type: 'x', data: { n: 1 }, operation_id: 'a' });
    await progress.publish(projectId, { type: 'y', data: { status: 'cancelled' }, operation_id: 'a' });
    const types = (await follow).map(({ type }) => type);
    expect(types.slice(-1)).toEqual(['$end']);
    controller.abort();
    await until(() => all.length > 0);
    expect(all).toEqual(['$snapshot', 'x', 'y']);
  });

  it('leaves no listener, subscription or feed when clients go away, also while a stream is being opened', async () => {
    await using own = await TestApp.start();
    const subscriber = own.get(RedisSubscriber);
    const hub = own.get(ProgressHub);
    const service = own.get(ProgressService);
    expect(subscriber.channelCount).toBe(0);
    for (let i = 0; i < 200; i += 1) service.stream(newProject()).subscribe().unsubscribe();
    await until(() => subscriber.channelCount === 0 && hub.feeds === 0, 'everything to be released');

    const viewer = await own.caller('viewer');
    const url = `${own.url}${viewer.base}/progress`;
    await Promise.all(Array.from({ length: 100 }, () => SseClient.abort(url, { token: viewer.token })));
    const opened = await SseClient.open(url, { token: viewer.token });
    await opened.receive(1);
    expect(hub.feeds).toBe(1);
    opened.cut();
    await until(() => hub.feeds === 0, 'the feed to end');
    // What others publish is taken in for two more minutes; that listens to the two channels of the one project.
    expect(subscriber.channelCount).toBe(2);
    await until(async () =>
      / 0$/m.test(await own.get(MetricsRegistry).registry.getSingleMetricAsString('progress_streams')),
    );
  });

  it('counts streams and frames, without naming a project', async () => {
    await using own = await TestApp.start();
    const viewer = await own.caller('viewer');
    using client = await SseClient.open(`${own.url}${viewer.base}/progress`, { token: viewer.token });
    await client.receive(1);
    await own.get(ProgressService).publish(viewer.projectId as ProjectId, { type: 'step', data: {} });
    await client.receive(2);
    const text = await own.get(MetricsRegistry).registry.metrics();
    for (const line of ['progress_streams 1', 'progress_published_total 1', 'progress_frames_total 2']) {
      expect(text).toMatch(new RegExp(`^${line}$`, 'm'));
    }
    for (const name of ['repairs', 'resets', 'stuck']) expect(text).toContain(`progress_${name}_total 0`);
    expect(text).not.toContain(viewer.projectId);
  });
});
