import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { documentsOf, idOf } from './documents.js';

describe('idOf', () => {
  it('shows the path where the path is made of letters that a name may have', () => {
    expect(idOf('docs/wire-contract.md')).toBe('docs--wire-contract.md');
  });

  it('is a name for every path, and another one for another path', () => {
    const path = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(path, path, (a, b) => {
        expect(idOf(a)).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
        expect(idOf(a) === idOf(b)).toBe(a === b);
      }),
    );
    expect(idOf('a--b.md')).not.toBe(idOf('a/b.md'));
    expect(idOf('ä.md')).not.toBe(idOf('ö.md'));
  });
});

describe('documentsOf', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'documents-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('finds Markdown and text, not what tools have put there', async () => {
    for (const path of ['b.md', 'a/notes.txt', 'a/data.json', 'node_modules/x/README.md', '.git/a.md', 'dist/c.md']) {
      await mkdir(join(folder, path, '..'), { recursive: true });
      await writeFile(join(folder, path), `# ${path}\n\nText.`);
    }
    const documents = await documentsOf(folder);
    expect(documents.map(({ id, path, title }) => [id, path, title])).toEqual([
      ['a--notes.txt', 'a/notes.txt', 'a/notes.txt'],
      ['b.md', 'b.md', 'b.md'],
    ]);
    expect(documents[0]!.version).toBeGreaterThan(0);
  });
});
