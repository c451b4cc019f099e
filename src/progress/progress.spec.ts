import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { ProgressKeys } from './progress.keys.js';
import { ProgressService } from './progress.service.js';

describe('publishing progress', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  it('answers 202 with an id that grows by one per event of the project', async () => {
    const editor = await app.caller('editor');
    const ids: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      const { body } = await editor.post('/progress').send({ type: 'step', data: { i } }).expect(202);
      expect(Object.keys(body)).toEqual(['id']);
      ids.push(body.id as string);
    }
    const [epoch] = ids[0]!.split('-');
    expect(ids).toEqual([1, 2, 3].map((seq) => `${epoch}-${seq}`));
    expect(ids[0]).toMatch(/^[a-z0-9]+-1$/);
  });

  it('publishes once for one Idempotency-Key, and refuses it with another body', async () => {
    const editor = await app.caller('editor');
    const send = (data: object) => editor.post('/progress').set('Idempotency-Key', 'k').send({ type: 'step', data });
    const first = await send({ i: 1 }).expect(202);
    expect((await send({ i: 1 }).expect(202)).body).toEqual(first.body);
    expect((await send({ i: 2 }).expect(409)).body.code).toBe('conflict');
    expect(await app.state.xlen(app.keys.key(editor.projectId as never, 'progress', 'log'))).toBe(1);
  });

  it('names the field that breaks its rule', async () => {
    const editor = await app.caller('editor');
    const refused = async (body: object): Promise<string[]> => {
      const answer = await editor.post('/progress').send(body).expect(400);
      expect(answer.body.code).toBe('validation_failed');
      return answer.body.errors.map(({ field }: { field: string }) => field);
    };
    expect(await refused({ type: '$end', data: {} })).toEqual(['type']);
    expect(await refused({ type: 'a\nb', data: {} })).toEqual(['type']);
    expect(await refused({ data: {}, extra: 1 })).toEqual(expect.arrayContaining(['type', 'extra']));
    expect(await refused({ type: 'a', data: [] })).toEqual(['data']);
    expect(await refused({ type: 'a', data: {}, operation_id: 'a:b' })).toEqual(['operation_id']);
    const data = { status: 'finished', done: -1, lease_seconds: 0, off: 1.5 };
    expect(await refused({ type: 'a', data, operation_id: 'a' })).toEqual([
      'data.status',
      'data.done',
      'data.lease_seconds',
      'data.off',
    ]);
    // Without an operation the same members are data like any other.
    await editor.post('/progress').send({ type: 'a', data }).expect(202);
  });

  it('takes 64 KiB and refuses more with 413', async () => {
    const editor = await app.caller('editor');
    const room = 65_536 - JSON.stringify({ type: 'a', data: { x: '' } }).length;
    await editor
      .post('/progress')
      .send({ type: 'a', data: { x: 'x'.repeat(room) } })
      .expect(202);
    const { body } = await editor
      .post('/progress')
      .send({ type: 'a', data: { x: 'x'.repeat(room + 1) } })
      .expect(413);
    expect(body.code).toBe('payload_too_large');
  });

  it('is not for viewers, and not for another project', async () => {
    const event = { type: 'a', data: {} };
    await (await app.caller('viewer')).post('/progress').send(event).expect(403);
    const editor = await app.caller('editor');
    const foreign = `/v1/projects/${newProject()}/progress`;
    await app.anonymous.post(foreign).set('Authorization', `Bearer ${editor.token}`).send(event).expect(403);
    await app.anonymous.post(foreign).send(event).expect(401);
  });

  it('mirrors each event, with its id, to the channel of other programs', async () => {
    const projectId = newProject();
    const heard: string[] = [];
    const other = app.state.duplicate();
    await other.subscribe(`proj:${projectId}:progress`);
    other.on('message', (_channel, message: string) => heard.push(message));
    const { id } = await progress.publish(projectId, { type: 'step', data: { a: [] }, operation_id: 'x' });
    await until(() => heard.length === 1);
    expect(JSON.parse(heard[0]!)).toEqual({ type: 'step', data: { a: [] }, operation_id: 'x', id });
    other.disconnect();
  });

  it('keeps as many events, bytes and seconds as it is told to, and always the newest', async () => {
    await using small = await TestApp.start({ env: { PROGRESS_RETENTION: '100', PROGRESS_RETENTION_BYTES: '65536' } });
    const service = small.get(ProgressService);
    const projectId = newProject();
    const { log } = { log: small.get(ProgressKeys).log(projectId) };
    for (let i = 0; i < 150; i += 1) await service.publish(projectId, { type: 'a', data: { i } });
    expect(await small.state.xlen(log)).toBe(100);
    await service.publish(projectId, { type: 'big', data: { x: 'x'.repeat(65_000) } });
    const left = await small.state.xrange(log, '-', '+');
    expect(left.reduce((bytes, [, fields]) => bytes + fields[1]!.length, 0)).toBeLessThanOrEqual(65_536);
    expect(left.length).toBeGreaterThan(1);
    expect(left.at(-1)![0]).toBe('151-0');
    // An event that is older than the retention goes with the next one.
    const meta = small.get(ProgressKeys).meta(projectId);
    await small.state.del(log);
    await small.state.xadd(log, '151-0', 'e', '{}', 'o', '', 'x', '', 't', '1');
    await small.state.hset(meta, 'oldest_at', 1);
    await service.publish(projectId, { type: 'a', data: {} });
    expect((await small.state.xrange(log, '-', '+')).map(([id]) => id)).toEqual(['152-0']);
  });

  it('leaves no key without a TTL', async () => {
    const projectId = newProject();
    const data = { status: 'running', text: 'x', off: 0, lease_seconds: 60 };
    await progress.publish(projectId, { type: 'a', data, operation_id: 'a' }, { idempotencyKey: 'k' });
    await progress.publish(projectId, { type: 'a', data: {} });
    const keys = await app.keysOf(projectId);
    expect(keys.length).toBeGreaterThan(6);
    for (const key of keys) expect(await app.state.pttl(key), key).toBeGreaterThan(0);
  });
});

describe('operations', () => {
  let app: TestApp;
  let progress: ProgressService;
  beforeAll(async () => {
    app = await TestApp.start();
    progress = app.get(ProgressService);
  });
  afterAll(() => app.close());

  it('shows how far an operation is, from what its events say', async () => {
    const viewer = await app.caller('viewer');
    const say = (data: object) =>
      progress.publish(viewer.projectId as never, { type: 'progress', data, operation_id: 'import-1' });
    await say({ status: 'started', stage: 'read', total: 3 });
    await say({ done: 2, stage: 'embed', message: 'two of three' });
    const { body } = await viewer.get('/operations/import-1').expect(200);
    expect(body).toEqual({
      operation_id: 'import-1',
      status: 'running',
      stage: 'embed',
      done: 2,
      total: 3,
      message: 'two of three',
      started_at: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    await say({ status: 'failed', error: 'no paper' });
    expect((await viewer.get('/operations/import-1').expect(200)).body).toMatchObject({
      status: 'failed',
      error: 'no paper',
    });
  });

  it('keeps a terminal state until the operation is started again', async () => {
    const projectId = newProject();
    const say = (data: object) => progress.publish(projectId, { type: 'a', data, operation_id: 'a' });
    await say({ status: 'started', text: 'old', off: 0 });
    await say({ status: 'completed', done: 5 });
    await say({ done: 1, text: 'late', off: 3 });
    expect(await progress.operation(projectId, 'a')).toMatchObject({ status: 'completed', done: 5, text: 'old' });
    await say({ status: 'started' });
    const again = await progress.operation(projectId, 'a');
    expect(again).toMatchObject({ status: 'started', done: null });
    expect(again.text).toBeUndefined();
  });

  it('assembles text by its offsets in bytes: repetitions are harmless, a hole is refused', async () => {
    const editor = await app.caller('editor');
    const projectId = editor.projectId as never;
    const write = (text: string, off: number) =>
      editor.post('/progress').send({ type: 'delta', data: { text, off }, operation_id: 'a' });
    await write('grüße', 0).expect(202);
    await write('grüße', 0).expect(202);
    await write('ße, ', 4).expect(202);
    const { body } = await write('x', 40).expect(409);
    expect(body.code).toBe('conflict');
    await write('Welt 🌍', 9).expect(202);
    const operation = await progress.operation(projectId, 'a');
    expect(operation.text).toBe('grüße, Welt 🌍');
    expect(operation.text_length).toBe(Buffer.byteLength('grüße, Welt 🌍'));
  });

  it('keeps the first MiB of a text, whole characters only, and says that there was more', async () => {
    const projectId = newProject();
    const chunk = '€'.repeat(15_000);
    const size = Buffer.byteLength(chunk);
    let off = 0;
    for (; off < 1_048_576 + size; off += size) {
      await progress.publish(projectId, { type: 'delta', data: { text: chunk, off }, operation_id: 'a' });
    }
    const operation = await progress.operation(projectId, 'a');
    expect(operation.text_truncated).toBe(true);
    expect(operation.text_length).toBe(off);
    expect(operation.text).toBe('€'.repeat(Math.floor(1_048_576 / 3)));
  });

  it('lists them latest first, page by page, and forgets the oldest beyond a thousand', async () => {
    const viewer = await app.caller('viewer');
    const projectId = viewer.projectId as never;
    for (let i = 0; i < 1010; i += 1) {
      await progress.publish(projectId, { type: 'a', data: { done: i }, operation_id: `op-${i}` });
    }
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const query = cursor === undefined ? '' : `&cursor=${cursor}`;
      const { body } = await viewer.get(`/operations?limit=100${query}`).expect(200);
      seen.push(...body.items.map(({ operation_id: id }: { operation_id: string }) => id));
      expect(body.items[0].text).toBeUndefined();
      cursor = body.next_cursor;
      if (cursor === undefined) break;
    }
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => `op-${1009 - i}`));
    await viewer.get('/operations/op-3').expect(404);
    expect((await viewer.get('/operations').expect(200)).body.items).toHaveLength(50);
  });

  it('shows an operation whose promised report does not come as failed: lost', async () => {
    const projectId = newProject();
    await progress.publish(projectId, { type: 'a', data: { lease_seconds: 60 }, operation_id: 'kept' });
    await progress.publish(projectId, { type: 'a', data: { lease_seconds: 0.02 }, operation_id: 'broken' });
    const lost = await until(async () => {
      const operation = await progress.operation(projectId, 'broken');
      return operation.status === 'failed' ? operation : undefined;
    });
    expect(lost.error).toBe('lost');
    expect((await progress.operation(projectId, 'kept')).status).toBe('running');
    await progress.publish(projectId, { type: 'a', data: { done: 1 }, operation_id: 'broken' });
    expect((await progress.operation(projectId, 'broken')).status).toBe('running');
  });

  it('answers 404 for what it does not know, 400 for what is no name or page, 403 for another project', async () => {
    const viewer = await app.caller('viewer');
    expect((await viewer.get('/operations/unknown').expect(404)).body.code).toBe('not_found');
    expect((await viewer.get('/operations/a%3Ab').expect(400)).body.errors[0].field).toBe('operation_id');
    expect((await viewer.get('/operations?limit=101').expect(400)).body.errors[0].field).toBe('limit');
    expect((await viewer.get('/operations?cursor=x').expect(400)).body.errors[0].field).toBe('cursor');
    const foreign = `/v1/projects/${newProject()}/operations`;
    await app.anonymous.get(foreign).set('Authorization', `Bearer ${viewer.token}`).expect(403);
    await app.anonymous.get(`${foreign}/a`).set('Authorization', `Bearer ${viewer.token}`).expect(403);
    await app.anonymous.get(foreign).expect(401);
  });

  it('forgets everything at once when the project is purged', async () => {
    const viewer = await app.caller('viewer');
    const projectId = viewer.projectId as never;
    await progress.publish(projectId, { type: 'a', data: { text: 'x', off: 0, lease_seconds: 9 }, operation_id: 'a' });
    for (const { hook } of app.get(PurgeRegistry).hooks) await hook(projectId);
    await viewer.get('/operations/a').expect(404);
    expect((await viewer.get('/operations').expect(200)).body).toEqual({ items: [] });
    expect((await app.keysOf(projectId)).filter((key) => key.includes(':progress'))).toEqual([]);
  });
});
