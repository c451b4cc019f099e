import { randomUUID } from 'node:crypto';
import { Inject, Module, type Type } from '@nestjs/common';
import { IsInt, Max, Min } from 'class-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, TestApp } from '../../test/support/app.js';
import { QueueModule } from './queue.module.js';
import { QueueRegistry } from './queue.registry.js';
import type { QueueOrder } from './queue.types.js';

class PageTask {
  @IsInt()
  @Min(1)
  @Max(100)
  page!: number;
}

/** A module as a team would add it, with a queue of its own. */
function declaringModule(order?: QueueOrder): { queue: string; module: Type<object> } {
  const queue = `pages-${randomUUID()}`;
  @Module({ imports: [QueueModule] })
  class PagesModule {
    constructor(@Inject(QueueRegistry) registry: QueueRegistry) {
      registry.declare({ name: queue, task: PageTask, ...(order ? { order } : {}) });
    }
  }
  return { queue, module: PagesModule };
}

describe('a queue that a module declares', () => {
  const [strict, relaxed, unsaid] = [declaringModule('strict'), declaringModule('relaxed'), declaringModule()];
  let app: TestApp;
  let owner: Caller;
  beforeAll(async () => {
    app = await TestApp.start({ extensions: [strict.module, relaxed.module, unsaid.module] });
    owner = await app.caller('owner');
  });
  afterAll(() => app.close());

  const add = (queue: string, task: object) => owner.post(`/queues/${queue}/jobs`).send({ task });
  const lease = (queue: string) => owner.post(`/queues/${queue}/leases`).send({ max: 10 });
  const pages = (body: { jobs: { task: { page: number } }[] }): number[] => body.jobs.map(({ task }) => task.page);

  it('takes its own tasks, and names the field that breaks their rules', async () => {
    await add(unsaid.queue, { page: 1 }).expect(201);
    const { body } = await add(unsaid.queue, { page: 0, doc_id: 'd' }).expect(400);
    expect(body).toMatchObject({ code: 'validation_failed' });
    expect(body.errors.map(({ field }: { field: string }) => field).sort()).toEqual(['task.doc_id', 'task.page']);
    expect(pages((await lease(unsaid.queue).expect(200)).body)).toEqual([1]);
  });

  it('is not there in an application without the module', async () => {
    await using other = await TestApp.start();
    const caller = await other.caller('owner');
    const path = `/queues/${unsaid.queue}`;
    for (const answer of [
      caller.get(path),
      caller.get(`${path}/jobs/a`),
      caller.delete(`${path}/jobs/a`),
      caller.post(`${path}/jobs`).send({ task: { page: 1 } }),
      caller.post(`${path}/leases`).send({}),
      caller.post(`${path}/jobs/a/ack`).send({ lease_token: 'a' }),
      caller.post(`${path}/pause`),
      caller.put(`${path}/settings`).send({}),
      caller.post(`${path}/dead/redrive`),
      caller.delete(`${path}/dead`),
    ])
      expect((await answer).body).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('leases one job at a time where it declares strict order, until an owner wants it otherwise', async () => {
    const { queue } = strict;
    for (const page of [1, 2, 3]) await add(queue, { page }).expect(201);
    expect((await owner.get(`/queues/${queue}`).expect(200)).body).toMatchObject({ order: 'strict' });
    expect(pages((await lease(queue).expect(200)).body)).toEqual([1]);
    await lease(queue).expect(204);
    await owner.put(`/queues/${queue}/settings`).send({ order: 'relaxed' }).expect(200);
    expect(pages((await lease(queue).expect(200)).body)).toEqual([2, 3]);
  });

  it('leases as many as are asked for where it declares relaxed order, or none', async () => {
    for (const { queue } of [relaxed, unsaid]) {
      const caller = await app.caller('owner');
      for (const page of [1, 2, 3]) await caller.post(`/queues/${queue}/jobs`).send({ task: { page } }).expect(201);
      expect((await caller.get(`/queues/${queue}`).expect(200)).body).toMatchObject({ order: 'relaxed' });
      const { body } = await caller.post(`/queues/${queue}/leases`).send({ max: 10 }).expect(200);
      expect(pages(body)).toEqual([1, 2, 3]);
    }
  });

  it('has a name of its own', () => {
    const registry = app.get(QueueRegistry);
    for (const name of [unsaid.queue, 'embeddings', 'no name', ''])
      expect(() => registry.declare({ name, task: PageTask }), name).toThrow(/declared twice|not a queue name/);
  });
});
