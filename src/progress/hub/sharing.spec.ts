import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TestApp } from '../../../test/support/app.js';
import { newProject } from '../../../test/support/projects.js';
import { until } from '../../../test/support/until.js';
import type { ProjectId } from '../../common/project-id.js';
import type { ProgressEvent } from '../progress-event.js';
import { ProgressScripts } from '../progress.scripts.js';
import { ProgressService } from '../progress.service.js';

const STREAMS = 25;

describe('the streams of one project in one process', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  async function open(projectId: ProjectId): Promise<ProgressEvent[][]> {
    const streams: ProgressEvent[][] = [];
    const opening = Array.from({ length: STREAMS }, (_, i) => {
      const events: ProgressEvent[] = (streams[i] = []);
      return new Promise<void>((opened) => {
        progress.stream(projectId, { opened: () => opened() }).subscribe((event) => events.push(event));
      });
    });
    await Promise.all(opening);
    return streams;
  }

  it('share each event, so that it is parsed and encoded once for all of them', async () => {
    const projectId = newProject();
    const streams = await open(projectId);
    await progress.publish(projectId, { type: 'step', data: {} });
    await until(() => streams.every(({ length }) => length === 2));
    const [first] = streams as [ProgressEvent[]];
    for (const [snapshot, event] of streams) {
      expect(snapshot).toBe(first[0]);
      expect(event).toBe(first[1]);
      expect(event!.frame).toBe(first[1]!.frame);
    }
  });

  it('share the one read that closes a gap', async () => {
    const projectId = newProject();
    const streams = await open(projectId);
    const { id } = await progress.publish(projectId, { type: 'step', data: {} });
    await until(() => streams.every(({ length }) => length === 2));
    const reads = vi.spyOn(app.get(ProgressScripts), 'read');
    const before = reads.mock.calls.length;
    // An event of which pub/sub tells nobody, and then one that shows it.
    const [epoch] = id.split('-') as [string];
    const entry = ['e', `{"type":"missed","data":{},"id":"${epoch}-2"}`, 'o', '', 'x', '', 't', String(Date.now())];
    await app.state
      .multi()
      .xadd(`proj:${projectId}:progress:log`, '2-0', ...entry)
      .hset(`proj:${projectId}:progress:meta`, 'seq', 2)
      .exec();
    await progress.publish(projectId, { type: 'after', data: {} });
    await until(() => streams.every(({ length }) => length === 4));
    for (const events of streams) {
      expect(events.map(({ type }) => type)).toEqual(['$snapshot', 'step', 'missed', 'after']);
    }
    const mine = reads.mock.calls.slice(before).filter(([asked]) => asked === projectId);
    // One for the gap; the look that comes every few seconds may have fallen in between.
    expect(mine.length).toBeLessThanOrEqual(2);
    reads.mockRestore();
  });
});
