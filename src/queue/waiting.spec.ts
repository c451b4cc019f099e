import { describe, expect, it } from 'vitest';
import { docs, JOBS, LEASES, QueueWorld, task } from '../../test/queue/queue-world.js';
import { until } from '../../test/support/until.js';

const world = QueueWorld.ofFile();

describe('waiting', () => {
  it('answers as soon as a job comes, ours or pushed by another program', async () => {
    const waiting = world.lease({ wait_seconds: 20 });
    await until(() => world.parking.parked > 0, 'the poll is parked');
    await world.add('ours');
    expect(docs(await waiting)).toEqual(['ours']);

    const second = world.lease({ wait_seconds: 20 });
    await until(() => world.parking.parked > 0, 'the poll is parked');
    await world.app.state.rpush(world.list, JSON.stringify({ project_id: world.owner.projectId, ...task('theirs') }));
    expect(docs(await second)).toEqual(['theirs']);
  });

  it('serves many polls in their order, and each job once', async () => {
    const projectId = world.projectId;
    const polls = Array.from({ length: 30 }, () => world.leasing.lease(projectId, 'embeddings', { waitSeconds: 20 }));
    await until(() => world.parking.parked === 30, 'all polls are parked');
    await world.queues.enqueue(
      projectId,
      'embeddings',
      Array.from({ length: 30 }, (_, i) => ({ task: task(`d${i}`) })),
    );
    const got = (await Promise.all(polls)).flatMap(({ jobs }) =>
      jobs.map((job) => (job.task as { doc_id: string }).doc_id),
    );
    expect(got).toEqual(Array.from({ length: 30 }, (_, i) => `d${i}`));
  });

  it('gives the job of a client that went away back at once, its attempt not counted', async () => {
    const gone = new AbortController();
    const poll = fetch(`${world.app.url}${world.owner.base}${LEASES}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${world.owner.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ wait_seconds: 20, lease_seconds: 600 }),
      signal: gone.signal,
    }).catch(() => 'gone');
    await until(() => world.parking.parked > 0, 'the poll is parked');
    gone.abort();
    await poll;
    const id = await world.add('a');
    const [job] = await world.lease({ wait_seconds: 10 });
    expect(job).toMatchObject({ job_id: id, attempt: 1 });
  });

  it('brings a delayed job when it is due, not before', async () => {
    const id = await world.add('later', { delay_seconds: 1 });
    expect(await world.state(id)).toBe('delayed');
    expect(await world.lease()).toEqual([]);
    const due = Date.parse((await world.owner.get(`${JOBS}/${id}`).expect(200)).body.retry_at);
    const [job] = await world.lease({ wait_seconds: 10 });
    expect(job!.job_id).toBe(id);
    expect(Date.now()).toBeGreaterThanOrEqual(due - 5);
  });
});
