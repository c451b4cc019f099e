import type { Test } from 'supertest';
import type { Caller } from '../support/app.js';

/** What earlier steps learned: ids and tokens that later steps need. */
export interface Memo {
  /** A text that only this project has, put wherever a text goes. */
  readonly marker: string;
  jobs: { job_id: string; lease_token?: string }[];
  reservation?: string;
  lock?: string;
  session?: { id: string; token: string };
}

/** One call of one route. Names are equal in all projects, so that a lost prefix would show. */
export interface Step {
  /** Method and path under the base, as OpenAPI writes it. */
  readonly route: string;
  readonly status: number;
  /** Also run to fill the other project. */
  readonly fills?: boolean;
  readonly call: (caller: Caller, memo: Memo) => Test;
  readonly learn?: (body: never, memo: Memo) => void;
}

const task = (memo: Memo): object => ({ doc_id: 'same', chunks: [memo.marker] });
const enqueue: Pick<Step, 'route' | 'status' | 'call' | 'learn'> = {
  route: 'POST /queues/{queue}/jobs',
  status: 201,
  call: (c, memo) => c.post('/queues/embeddings/jobs').send({ task: task(memo), options: { operation_id: 'op' } }),
  learn: (body: { job_id: string }, memo) => memo.jobs.unshift({ job_id: body.job_id }),
};
const lease: Pick<Step, 'route' | 'status' | 'call' | 'learn'> = {
  route: 'POST /queues/{queue}/leases',
  status: 200,
  call: (c) => c.post('/queues/embeddings/leases').send({ lease_seconds: 300 }),
  learn: (body: { jobs: Memo['jobs'] }, memo) => memo.jobs.unshift(...body.jobs),
};
const job = (memo: Memo): { job_id: string; lease_token?: string } => memo.jobs[0]!;

/** Every route of a project, in an order in which each has something to do. */
export const STEPS: Step[] = [
  {
    route: 'PUT /documents/{doc_id}',
    status: 200,
    fills: true,
    call: (c, memo) => c.put('/documents/same').send({ title: memo.marker, content: memo.marker, version: 1 }),
  },
  { route: 'GET /documents/{doc_id}', status: 200, call: (c) => c.get('/documents/same') },
  {
    route: 'GET /documents/{doc_id}/versions/{version}',
    status: 200,
    call: (c) => c.get('/documents/same/versions/1'),
  },

  {
    route: 'PUT /rate-limits/{action}',
    status: 200,
    fills: true,
    call: (c) => c.put('/rate-limits/same').send({ limit: 100, window_seconds: 3600 }),
  },
  {
    route: 'POST /rate-limits/{action}/consume',
    status: 200,
    fills: true,
    call: (c) => c.post('/rate-limits/same/consume').send({ cost: 7 }),
  },
  { route: 'GET /rate-limits', status: 200, call: (c) => c.get('/rate-limits') },
  {
    route: 'PUT /quotas/{resource}',
    status: 200,
    fills: true,
    call: (c) => c.put('/quotas/embeddings').send({ limits: { day: 1000 } }),
  },
  {
    route: 'POST /quotas/{resource}/consume',
    status: 200,
    fills: true,
    call: (c) => c.post('/quotas/embeddings/consume').set('Idempotency-Key', 'same').send({ amount: 13 }),
  },
  {
    route: 'POST /quotas/consume',
    status: 200,
    fills: true,
    call: (c) =>
      c.post('/quotas/consume').send({
        items: [
          { resource: 'embeddings', amount: 1 },
          { action: 'same', cost: 1 },
        ],
      }),
  },
  { route: 'GET /quotas', status: 200, call: (c) => c.get('/quotas') },
  { route: 'GET /quotas/{resource}', status: 200, call: (c) => c.get('/quotas/embeddings') },
  {
    route: 'GET /quotas/{resource}/usage',
    status: 200,
    call: (c) => c.get('/quotas/embeddings/usage?granularity=hour'),
  },
  {
    route: 'POST /quotas/{resource}/reservations',
    status: 201,
    fills: true,
    call: (c) => c.post('/quotas/embeddings/reservations').send({ amount: 5, ttl_seconds: 3600 }),
    learn: (body: { reservation_id: string }, memo) => void (memo.reservation = body.reservation_id),
  },
  {
    route: 'PATCH /quotas/{resource}/reservations/{id}',
    status: 200,
    call: (c, memo) => c.patch(`/quotas/embeddings/reservations/${memo.reservation}`).send({ used: 2 }),
  },
  {
    route: 'POST /quotas/{resource}/reservations/{id}/commit',
    status: 200,
    call: (c, memo) => c.post(`/quotas/embeddings/reservations/${memo.reservation}/commit`).send({ amount: 3 }),
  },
  {
    route: 'DELETE /quotas/{resource}/reservations/{id}',
    status: 204,
    call: (c, memo) => c.delete(`/quotas/embeddings/reservations/${memo.reservation}`),
  },

  {
    route: 'POST /progress',
    status: 202,
    fills: true,
    call: (c, memo) => c.post('/progress').send({ type: 'note', data: { message: memo.marker }, operation_id: 'op' }),
  },
  { route: 'GET /operations', status: 200, call: (c) => c.get('/operations') },
  { route: 'GET /operations/{operation_id}', status: 200, call: (c) => c.get('/operations/op') },
  { route: 'POST /progress/tickets', status: 201, fills: true, call: (c) => c.post('/progress/tickets') },
  // A finished operation's stream ends by itself.
  {
    route: 'POST /progress',
    status: 202,
    call: (c, memo) =>
      c
        .post('/progress')
        .send({ type: 'end', data: { status: 'completed', message: memo.marker }, operation_id: 'over' }),
  },
  {
    route: 'GET /progress',
    status: 200,
    call: (c) => c.get('/progress?operation_id=over').set('Accept', 'text/event-stream'),
  },

  { ...enqueue, fills: true },
  {
    route: 'POST /queues/{queue}/jobs/batch',
    status: 201,
    fills: true,
    call: (c, memo) =>
      c
        .post('/queues/embeddings/jobs/batch')
        .send({ jobs: [{ task: task(memo) }, { task: task(memo) }, { task: task(memo) }, { task: task(memo) }] }),
  },
  { route: 'GET /queues', status: 200, call: (c) => c.get('/queues') },
  { route: 'GET /queues/{queue}', status: 200, call: (c) => c.get('/queues/embeddings') },
  {
    route: 'GET /queues/{queue}/jobs/{job_id}',
    status: 200,
    call: (c, memo) => c.get(`/queues/embeddings/jobs/${job(memo).job_id}`),
  },
  { ...lease, fills: true },
  {
    route: 'POST /queues/{queue}/jobs/{job_id}/extend',
    status: 200,
    call: (c, memo) =>
      c
        .post(`/queues/embeddings/jobs/${job(memo).job_id}/extend`)
        .send({ lease_token: job(memo).lease_token, lease_seconds: 60 }),
  },
  {
    route: 'POST /queues/{queue}/jobs/{job_id}/ack',
    status: 204,
    call: (c, memo) =>
      c
        .post(`/queues/embeddings/jobs/${job(memo).job_id}/ack`)
        .send({ lease_token: job(memo).lease_token, result: { text: memo.marker } }),
  },
  lease,
  {
    route: 'POST /queues/{queue}/acks',
    status: 200,
    call: (c, memo) =>
      c
        .post('/queues/embeddings/acks')
        .send({ acks: [{ job_id: job(memo).job_id, lease_token: job(memo).lease_token }] }),
  },
  { ...lease, fills: true },
  {
    route: 'POST /queues/{queue}/jobs/{job_id}/nack',
    status: 204,
    fills: true,
    call: (c, memo) =>
      c
        .post(`/queues/embeddings/jobs/${job(memo).job_id}/nack`)
        .send({ lease_token: job(memo).lease_token, error: memo.marker, dead: true }),
  },
  { route: 'GET /queues/{queue}/dead', status: 200, call: (c) => c.get('/queues/embeddings/dead') },
  { route: 'POST /queues/{queue}/dead/redrive', status: 200, call: (c) => c.post('/queues/embeddings/dead/redrive') },
  { route: 'DELETE /queues/{queue}/dead', status: 204, call: (c) => c.delete('/queues/embeddings/dead') },
  enqueue,
  {
    route: 'DELETE /queues/{queue}/jobs/{job_id}',
    status: 202,
    call: (c, memo) => c.delete(`/queues/embeddings/jobs/${job(memo).job_id}`),
  },
  {
    route: 'PUT /queues/{queue}/settings',
    status: 200,
    fills: true,
    call: (c) => c.put('/queues/embeddings/settings').send({ weight: 2 }),
  },
  { route: 'POST /queues/{queue}/pause', status: 204, fills: true, call: (c) => c.post('/queues/embeddings/pause') },
  { route: 'POST /queues/{queue}/resume', status: 204, call: (c) => c.post('/queues/embeddings/resume') },

  {
    route: 'POST /sessions',
    status: 201,
    fills: true,
    call: (c, memo) => c.post('/sessions').send({ data: { text: memo.marker } }),
    learn: (body: { session_id: string; token: string }, memo) =>
      void (memo.session = { id: body.session_id, token: body.token }),
  },
  {
    route: 'POST /sessions/rotate',
    status: 200,
    call: (c, memo) => c.post('/sessions/rotate').send({ token: memo.session!.token }),
    learn: (body: { session_id: string; token: string }, memo) =>
      void (memo.session = { id: body.session_id, token: body.token }),
  },
  {
    route: 'GET /sessions/current',
    status: 200,
    call: (c, memo) => c.get('/sessions/current').set('Authorization', `Session ${memo.session!.token}`),
  },
  {
    route: 'PATCH /sessions/current',
    status: 200,
    call: (c, memo) =>
      c
        .patch('/sessions/current')
        .set('Authorization', `Session ${memo.session!.token}`)
        .send({ data: { text: memo.marker }, version: 1 }),
  },
  { route: 'GET /sessions', status: 200, call: (c) => c.get('/sessions') },
  {
    route: 'DELETE /sessions/current',
    status: 204,
    call: (c, memo) => c.delete('/sessions/current').set('Authorization', `Session ${memo.session!.token}`),
  },
  { route: 'DELETE /sessions/{id}', status: 204, call: (c, memo) => c.delete(`/sessions/${memo.session!.id}`) },
  { route: 'DELETE /sessions', status: 204, call: (c) => c.delete('/sessions') },

  {
    route: 'POST /locks/{name}',
    status: 201,
    fills: true,
    call: (c) => c.post('/locks/same').send({ ttl_ms: 300_000 }),
    learn: (body: { token: string }, memo) => void (memo.lock = body.token),
  },
  {
    route: 'PATCH /locks/{name}',
    status: 200,
    call: (c, memo) => c.patch('/locks/same').send({ token: memo.lock, ttl_ms: 1000 }),
  },
  {
    route: 'DELETE /locks/{name}',
    status: 204,
    call: (c, memo) => c.delete('/locks/same').set('Lock-Token', memo.lock!),
  },

  { route: 'GET /stats', status: 200, call: (c) => c.get('/stats') },
  { route: 'DELETE /documents/{doc_id}', status: 204, call: (c) => c.delete('/documents/same') },
  { route: 'DELETE /documents', status: 204, call: (c) => c.delete('/documents') },
  { route: 'DELETE ', status: 202, call: (c) => c.delete('') },
];
