import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Caller, TestApp } from '../support/app.js';
import { FOREIGN_PROGRAMS } from '../support/foreign.js';
import { SseClient } from '../support/sse-client.js';

// Whoever shares the Redis connects as the operator or as a user of its own; here as the operator.
describe.each(['one', 'two'] as const)('with %s Redis server(s)', (servers) => {
  describe.each(FOREIGN_PROGRAMS.map((program) => [program.name, program] as const))(
    '%s and the API',
    (_name, program) => {
      let app: TestApp;
      let owner: Caller;
      let stateUrl: string;
      let documentsUrl: string;
      beforeAll(async () => {
        app = await TestApp.start({ redis: servers });
        owner = await app.caller('owner');
        const redis = inject('redis');
        stateUrl = redis.stateAdminUrl;
        documentsUrl = servers === 'one' ? redis.stateAdminUrl : redis.cacheAdminUrl;
      });
      afterAll(() => app.close());

      it('read the documents that the other wrote', async () => {
        const foreign = { id: 'from-outside', title: 'Täglich „neu“', content: 'line 1\nline 2 \u2028 😀', version: 3 };
        await program.put(documentsUrl, owner.projectId, foreign);
        expect((await owner.get('/documents/from-outside').expect(200)).body).toEqual(foreign);

        const ours = { title: 'Ünsere', content: '"quoted" \\ 😀', version: 7 };
        await owner.put('/documents/from-api').send(ours).expect(200);
        expect(await program.get(documentsUrl, owner.projectId, 'from-api')).toEqual({ id: 'from-api', ...ours });
      });

      it('hand tasks to each other through the plain list', async () => {
        await program.push(stateUrl, owner.projectId, 'doc-1', ['a', 'ß']);
        const leased = (await owner.post('/queues/embeddings/leases').send({ wait_seconds: 5 }).expect(200)).body
          .jobs[0];
        expect(leased.task).toEqual({ project_id: owner.projectId, doc_id: 'doc-1', chunks: ['a', 'ß'] });
        await owner
          .post(`/queues/embeddings/jobs/${leased.job_id}/ack`)
          .send({ lease_token: leased.lease_token })
          .expect(204);

        const { job_id } = (
          await owner
            .post('/queues/embeddings/jobs')
            .send({ task: { doc_id: 'doc-2', chunks: [] } })
            .expect(201)
        ).body;
        expect(await program.pop(stateUrl, owner.projectId)).toEqual({
          project_id: owner.projectId,
          doc_id: 'doc-2',
          chunks: [],
        });
        expect((await owner.get(`/queues/embeddings/jobs/${job_id}`).expect(200)).body.state).toBe('taken');
      });

      it('hear the events that the other published', async () => {
        const listener = await program.listen(stateUrl, owner.projectId);
        const { id } = (
          await owner
            .post('/progress')
            .send({ type: 'note', data: { message: 'from the API' } })
            .expect(202)
        ).body;
        expect(await listener.next).toEqual({ type: 'note', data: { message: 'from the API' }, id });

        using stream = await SseClient.open(`${app.url}${owner.base}/progress`, { token: owner.token });
        await stream.receive(1);
        await program.publish(stateUrl, owner.projectId, 'outside', 'hello');
        const frame = await stream.until('outside');
        expect(frame.json.data).toEqual({ message: 'hello' });
        expect(frame.id).toMatch(/^[a-z0-9]+-\d+$/);
      });
    },
  );
});
