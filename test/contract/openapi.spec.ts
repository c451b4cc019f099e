import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Operation {
  operationId: string;
  summary?: string;
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: unknown }> };
  responses: Record<string, { content?: Record<string, { schema?: object }> }>;
}

const root = join(import.meta.dirname, '../..');
const committed = readFileSync(join(root, 'openapi.json'), 'utf8');
const { paths } = JSON.parse(committed) as { paths: Record<string, Record<string, Operation>> };
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
);
const ofProjects = operations.filter(([name]) => name.includes('{project_id}'));

describe('openapi.json', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'openapi-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  // The comments of the DTOs are part of it, and only the compiled code has them: `npm test` builds before.
  it('is what the code says (else: npm run openapi)', () => {
    const file = join(dir, 'openapi.json');
    execFileSync(process.execPath, [join(root, 'dist/openapi.js'), file], { cwd: root });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(committed));
  });

  it.each(operations)('%s: has a summary, and a schema for what it answers', (_name, operation) => {
    expect(operation.summary).toBeTruthy();
    const successes = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
    expect(successes.length).toBeGreaterThan(0);
    for (const [status, { content }] of successes) {
      if (['202', '204'].includes(status) && !content) continue;
      const schemas = Object.values(content ?? {}).map(({ schema }) => schema);
      expect(schemas.length, status).toBeGreaterThan(0);
      for (const schema of schemas) expect(Object.keys(schema ?? {}), status).not.toEqual([]);
    }
  });

  it.each(operations.filter(([name]) => !name.startsWith('DELETE')))(
    '%s: says what it answers, or that it answers nothing',
    (name, operation) => {
      const nothing = /\/(nack|pause|resume)$/.test(name);
      const statuses = Object.keys(operation.responses);
      expect(statuses.some((status) => (nothing ? status === '204' : ['200', '201', '202'].includes(status)))).toBe(
        true,
      );
    },
  );

  it.each(ofProjects)('%s: documents its errors as problems', (_name, operation) => {
    for (const status of ['400', '401', '403', '500', '503']) {
      expect(operation.responses[status]?.content?.['application/problem+json'], status).toBeDefined();
    }
    expect(operation.parameters?.find((parameter) => parameter.name === 'project_id')).toBeDefined();
  });

  it('gives every operation a name of its own, so that a typed client can be generated', () => {
    const ids = operations.map(([, operation]) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
