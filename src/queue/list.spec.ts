import { describe, expect, it } from 'vitest';
import { docs, JOBS, QueueWorld, task } from '../../test/queue/queue-world.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';

const world = QueueWorld.ofFile();

describe('the list', () => {
  it('holds exactly the agreed JSON, first in at the head, and shrinks as jobs are leased', async () => {
    await world.owner
      .post(JOBS)
      .send({ task: task('a', 'ß', '"q"') })
      .expect(201);
    await world.owner
      .post(`${JOBS}/batch`)
      .send({ jobs: [{ task: task('b') }, { task: task('c') }] })
      .expect(201);
    const p = world.owner.projectId;
    expect(await world.app.state.lrange(world.list, 0, -1)).toEqual([
      `{"project_id":"${p}","doc_id":"a","chunks":["ß","\\"q\\""]}`,
      `{"project_id":"${p}","doc_id":"b","chunks":[]}`,
      `{"project_id":"${p}","doc_id":"c","chunks":[]}`,
    ]);
    expect(docs(await world.lease({ max: 2 }))).toEqual(['a', 'b']);
    expect(await world.app.state.llen(world.list)).toBe(1);
  });

  it('serves what others pushed like our own, in order, with fields it does not know', async () => {
    await world.add('a');
    const foreign = { project_id: world.owner.projectId, doc_id: 'b', chunks: ['x'], priority: 'high' };
    await world.app.state.rpush(world.list, JSON.stringify(foreign));
    await world.add('c');
    const jobs = await world.lease({ max: 10 });
    expect(docs(jobs)).toEqual(['a', 'b', 'c']);
    expect(jobs[1]!.task).toEqual(foreign);
    for (const job of jobs)
      await world.owner.post(`${JOBS}/${job.job_id}/ack`).send({ lease_token: job.lease_token }).expect(204);
    expect(await world.state(jobs[1]!.job_id)).toBe('done');
  });

  it('knows what others popped, wherever in the line', async () => {
    const [a, b, c] = [await world.add('a'), await world.add('b'), await world.add('c')];
    await world.app.state.lpop(world.list);
    expect(await world.state(a)).toBe('taken');
    await world.app.state.rpop(world.list);
    await world.app.state.rpush(world.list, JSON.stringify({ project_id: world.owner.projectId, ...task('d') }));
    expect(docs(await world.lease({ max: 10 }))).toEqual(['b', 'd']);
    expect(await world.state(b)).toBe('leased');
    expect(await until(async () => (await world.state(c)) === 'taken')).toBe(true);
    expect((await world.owner.get('/queues/embeddings').expect(200)).body).toMatchObject({ waiting: 0, leased: 2 });
  });

  it('knows how many others popped of jobs with equal bytes when a lease finds it empty', async () => {
    const ids = [await world.add('a'), await world.add('a'), await world.add('a'), await world.add('a')];
    await world.app.state.lpop(world.list);
    for (const job of [...(await world.lease()), ...(await world.lease({ max: 2 }))]) await world.ack(job).expect(204);
    expect(await world.lease()).toEqual([]);
    const state = (id: string) => world.app.state.getrange(`${world.list}:job:${id}`, 0, 0);
    expect((await Promise.all(ids.map(state))).sort()).toEqual(['o', 'o', 'o', 't']);
    expect(await world.app.state.exists(`${world.list}:waiting`, `${world.list}:size`)).toBe(0);
  });

  it.each([
    ['no JSON', () => '{nope'],
    ['an empty item', () => ''],
    ['another project', () => JSON.stringify({ project_id: newProject(), ...task('x') })],
    ['no project', () => JSON.stringify(task('x'))],
    ['over 1 MiB', () => JSON.stringify({ project_id: world.owner.projectId, ...task('x', 'y'.repeat(1_100_000)) })],
    ['wrong fields', () => JSON.stringify({ project_id: world.owner.projectId, doc_id: 'x', chunks: [1] })],
    ['a list', () => '[1]'],
  ])('sends what nobody can work on (%s) to the dead letters, and goes on', async (_what, item) => {
    await world.app.state.rpush(world.list, item());
    await world.add('good');
    const found = await until(async () => {
      const jobs = await world.lease();
      return jobs.length > 0 ? jobs : undefined;
    });
    expect(docs(found)).toEqual(['good']);
    const { items } = (await world.owner.get('/queues/embeddings/dead').expect(200)).body;
    expect(items).toHaveLength(1);
    expect(items[0].error).toMatch(/unreadable|chunks/);
  });
});
