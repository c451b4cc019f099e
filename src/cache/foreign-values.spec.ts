import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { until } from '../../test/support/until.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { parseProjectId } from '../common/project-id.js';
import { CacheService } from './cache.service.js';

const A = { id: 'a', title: 'A', content: 'text', version: 3 };

async function invalidReads(app: TestApp): Promise<number> {
  const metric = await app.get(MetricsRegistry).registry.getSingleMetric('cache_document_reads_total')!.get();
  return metric.values.find(({ labels }) => labels['outcome'] === 'invalid')?.value ?? 0;
}

describe.each(['one', 'two'] as const)('documents of other programs on %s Redis server(s)', (redis) => {
  let app: TestApp;
  let cache: CacheService;
  beforeAll(async () => {
    app = await TestApp.start({ redis });
    cache = app.get(CacheService);
  });
  afterAll(() => app.close());

  const foreign: [string, string][] = [
    ['json.dumps', String.raw`{"id": "a", "title": "T\u00eft\u2713", "content": "\ud83d\ude00", "version": 7}`],
    ['json.dumps with ensure_ascii=False', '{"id": "a", "title": "Tït✓", "content": "😀", "version": 7}'],
    [
      'a program with fields of its own',
      '\n{"version": 7, "content": "", "title": "", "id": "a", "tags": [[], {}], "big": 12345678901234567890}\n',
    ],
    ['a program with odd text', String.raw`{"id":"a","title":"lone \ud800","content":"\u0000","version":7}`],
    [
      'a program with deep fields',
      `{"id":"a","title":"","content":"","version":7,"deep":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    ],
  ];
  it.each(foreign)('are answered byte for byte: those of %s', async (_writer, text) => {
    const viewer = await app.caller('viewer');
    await app.cache.setex(`proj:${viewer.projectId}:doc:a`, 60, text);
    await app.cache.setex(`proj:${viewer.projectId}:doc:a:version:7`, 60, text);
    expect((await viewer.get('/documents/a').expect(200)).text).toBe(text);
    expect((await viewer.get('/documents/a/versions/7').expect(200)).text).toBe(text);
    const { id, title, content, version } = JSON.parse(text) as typeof A;
    const found = (await cache.get(parseProjectId(viewer.projectId), 'a'))!;
    expect({ ...found.document }).toEqual({ id, title, content, version });
  });

  it('keep their own fields when the same is put again, and follow the rules of versions', async () => {
    const editor = await app.caller('editor');
    const key = `proj:${editor.projectId}:doc:a`;
    const theirs = JSON.stringify({ author: 'x', ...A });
    await app.cache.setex(key, 60, theirs);
    const { id: _, ...body } = A;
    await editor.put('/documents/a').send(body).expect(200);
    expect(await app.cache.get(key)).toBe(theirs);
    expect(await app.cache.ttl(key)).toBeGreaterThan(60);
    await editor
      .put('/documents/a')
      .send({ ...body, version: 2 })
      .expect(409);
    await editor
      .put('/documents/a')
      .send({ ...body, title: 'B' })
      .expect(409);
    await editor
      .put('/documents/a')
      .send({ ...body, version: 4 })
      .expect(200);
    expect(await app.cache.get(key)).toBe(JSON.stringify({ ...A, version: 4 }));
  });

  const invalid: [string, string | Buffer][] = [
    ['nothing', ''],
    ['broken JSON', '{"id":"a","title":"A"'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a missing field', '{"id":"a","title":"A","version":1}'],
    ['a version that is text', '{"id":"a","title":"A","content":"","version":"1"}'],
    ['a negative version', '{"id":"a","title":"A","content":"","version":-1}'],
    ['a fraction', '{"id":"a","title":"A","content":"","version":1.5}'],
    ['a version beyond 2^53', '{"id":"a","title":"A","content":"","version":9007199254740993}'],
    ['another id', '{"id":"b","title":"A","content":"","version":1}'],
    ['a number as title', '{"id":"a","title":1,"content":"","version":1}'],
    [
      'bytes that are no UTF-8',
      Buffer.concat([
        Buffer.from('{"id":"a","title":"'),
        Buffer.from([0xff, 0xc0]),
        Buffer.from('","content":"","version":1}'),
      ]),
    ],
    ['a byte order mark', '\ufeff{"id":"a","title":"A","content":"","version":1}'],
    ['rotten gzip', Buffer.concat([gzipSync(JSON.stringify(A)).subarray(0, 30), Buffer.from('rot')])],
    ['a bomb', gzipSync(JSON.stringify({ ...A, content: ' '.repeat(50_000_000) }), { level: 9 })],
    ['more than a document may have', JSON.stringify({ ...A, content: 'x'.repeat(2_200_000) })],
  ];
  it.each(invalid)('count as absent when they hold %s, are counted, and are replaced', async (_what, bytes) => {
    const editor = await app.caller('editor');
    const key = `proj:${editor.projectId}:doc:a`;
    await app.cache.setex(key, 60, bytes);
    const before = await invalidReads(app);
    await editor.get('/documents/a').expect(404);
    expect(await invalidReads(app)).toBe(before + 1);
    expect(cache.stats(parseProjectId(editor.projectId))).toEqual({ hits: 0, misses: 1 });
    await editor.put('/documents/a').send({ title: 'A', content: '', version: 0 }).expect(200);
    expect((await editor.get('/documents/a').expect(200)).body.version).toBe(0);
  });

  it.each(['list', 'hash', 'set'] as const)(
    'count as absent when the key is a %s, are counted, and are replaced',
    async (kind) => {
      const editor = await app.caller('editor');
      const keys = ['doc:a', 'doc:a:version:0'].map((key) => `proj:${editor.projectId}:${key}`);
      for (const key of keys) {
        if (kind === 'list') await app.cache.rpush(key, '{}');
        if (kind === 'hash') await app.cache.hset(key, 'id', 'a');
        if (kind === 'set') await app.cache.sadd(key, 'a');
      }
      const before = await invalidReads(app);
      await editor.get('/documents/a').expect(404);
      await editor.get('/documents/a/versions/0').expect(404);
      expect(await invalidReads(app)).toBe(before + 2);
      await editor.put('/documents/a').send({ title: 'A', content: '', version: 0 }).expect(200);
      await editor.get('/documents/a/versions/0').expect(200);
      for (const key of keys) expect(await app.cache.ttl(key)).toBeGreaterThan(0);
    },
  );

  it('are no version but the one whose number they hold', async () => {
    const projectId = newProject();
    await app.cache.setex(`proj:${projectId}:doc:a:version:4`, 60, JSON.stringify(A));
    expect(await cache.getVersion(projectId, 'a', 4)).toBeUndefined();
    await app.cache.setex(`proj:${projectId}:doc:a:version:3`, 60, JSON.stringify(A));
    expect(await cache.getVersion(projectId, 'a', 3)).toBeDefined();
    expect(await cache.getVersion(projectId, 'a', 4)).toBeUndefined();
  });

  it('have their versions removed in the background when the document is deleted; newer ones of ours stay', async () => {
    const projectId = newProject();
    const theirs = [1, 2, 77_777].map((version) => `proj:${projectId}:doc:a:version:${version}`);
    const others = ['doc:ab:version:1', 'doc:b', 'doc:b:version:1'].map((key) => `proj:${projectId}:${key}`);
    for (const key of [...theirs, ...others]) await app.cache.setex(key, 60, JSON.stringify(A));
    await cache.put(projectId, A);
    await cache.delete(projectId, 'a');
    expect(await cache.get(projectId, 'a')).toBeUndefined();
    expect(await cache.getVersion(projectId, 'a', 3)).toBeUndefined();
    await cache.put(projectId, A);
    await until(async () => (await app.cache.exists(...theirs)) === 0, 'the sweep');
    expect(await app.cache.exists(...others)).toBe(others.length);
    expect(await cache.getVersion(projectId, 'a', 3)).toBeDefined();
  });
});

describe('documents with CACHE_COMPRESS_MIN_BYTES', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ env: { CACHE_COMPRESS_MIN_BYTES: '1000' } });
  });
  afterAll(() => app.close());

  const long = { title: 'A', content: 'the same words again and again '.repeat(500), version: 3 };

  it('are stored as gzip from that size on, and read alike', async () => {
    const editor = await app.caller('editor');
    await editor.put('/documents/a').send(long).expect(200);
    const stored = (await app.cache.getBuffer(`proj:${editor.projectId}:doc:a`))!;
    const text = JSON.stringify({ id: 'a', ...long });
    expect(stored.subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
    expect(gunzipSync(stored).toString()).toBe(text);
    expect(text.length / stored.length).toBeGreaterThan(2.5);

    const { text: body, headers } = await editor.get('/documents/a').expect(200);
    expect(body).toBe(text);
    await editor.get('/documents/a').set('If-None-Match', headers['etag']!).expect(304);
    await editor.put('/documents/a').send(long).expect(200);
    await editor
      .put('/documents/a')
      .send({ ...long, version: 2 })
      .expect(409);
    await editor
      .put('/documents/a')
      .send({ ...long, title: 'B' })
      .expect(409);
    await editor
      .put('/documents/a')
      .send({ ...long, version: 4 })
      .expect(200);
  });

  it('stay text below it, and where gzip would not be smaller', async () => {
    const editor = await app.caller('editor');
    const noise = Array.from({ length: 1000 }, () =>
      String.fromCodePoint(0x4e00 + Math.floor(Math.random() * 20_000)),
    ).join('');
    for (const content of ['short', noise]) {
      const body = { title: '', content, version: 1 };
      await editor.put('/documents/a').send(body).expect(200);
      const stored = (await app.cache.getBuffer(`proj:${editor.projectId}:doc:a`))!;
      const text = Buffer.from(JSON.stringify({ id: 'a', ...body }));
      expect(stored.length).toBeLessThanOrEqual(text.length);
      expect((await editor.get('/documents/a').expect(200)).body.content).toBe(content);
      await editor.delete('/documents/a').expect(204);
    }
  });
});
