import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newProject } from '../../test/support/projects.js';
import { KeyBuilder, KeyError } from './key-builder.js';

const names = fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/);
const lists = fc.array(names, { minLength: 1, maxLength: 6 }) as fc.Arbitrary<[string, ...string[]]>;

describe('a key', () => {
  const projectId = newProject();
  const keys = new KeyBuilder();

  it('starts with its project, on Cluster in braces so that the project lives in one slot', () => {
    expect(keys.key(projectId, 'doc', 'a.b-c_D')).toBe(`proj:${projectId}:doc:a.b-c_D`);
    expect(new KeyBuilder(true).key(projectId, 'doc', 'a')).toBe(`proj:{${projectId}}:doc:a`);
  });

  it.each([
    ['nothing', ''],
    ['a colon', 'a:b'],
    ['129 characters', 'a'.repeat(129)],
    ['a glob', '*'],
    ['an opening brace', '{'],
    ['a closing brace', '}'],
    ['a space', 'a b'],
    ['NUL', 'a\0'],
    ['a newline at the end', 'a\n'],
    ['a carriage return', '\r'],
    ['a letter outside ASCII', 'ü'],
    ['an emoji', '🔑'],
    ['a slash', '../a'],
    ['no string', 5],
    ['an array', ['a']],
    ['undefined', undefined],
  ])('has no part with %s', (_what, part) => {
    expect(() => keys.key(projectId, 'doc', part as string)).toThrow(KeyError);
    expect(() => keys.key(projectId, part as string)).toThrow(KeyError);
  });

  it('has at least one part', () => {
    expect(() => keys.key(projectId, ...([] as unknown as [string]))).toThrow(KeyError);
  });

  it('takes a part of 128 characters whole', () => {
    const part = 'a'.repeat(128);
    expect(keys.key(projectId, 'doc', part)).toBe(`proj:${projectId}:doc:${part}`);
  });

  it('is never the same for two lists of parts, and gives its parts back', () => {
    fc.assert(
      fc.property(lists, lists, fc.boolean(), (a, b, cluster) => {
        const builder = new KeyBuilder(cluster);
        const key = builder.key(projectId, ...a);
        expect(builder.parts(projectId, key)).toEqual(a);
        expect(key === builder.key(projectId, ...b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it('is never the same for two projects, nor within the pattern of another', () => {
    fc.assert(
      fc.property(lists, (parts) => {
        const other = newProject();
        const key = keys.key(projectId, ...parts);
        expect(key).not.toBe(keys.key(other, ...parts));
        expect(keys.parts(other, key)).toBeUndefined();
        expect(key.startsWith(keys.scanPattern(other).slice(0, -1))).toBe(false);
      }),
    );
  });

  it('is read as a wake-up only when it is one', () => {
    for (const builder of [keys, new KeyBuilder(true)]) {
      expect(builder.parseWake(builder.key(projectId, 'queue', 'a.b', 'wake'))).toEqual({ projectId, queue: 'a.b' });
    }
    for (const channel of [
      `proj:${projectId}:queue:a:b:wake`,
      `proj:${projectId}:queue::wake`,
      `proj:${projectId}:queue:a:wake\n`,
      `proj:${projectId}:progress`,
      'proj:x:queue:a:wake',
      `x:proj:${projectId}:queue:a:wake`,
    ]) {
      expect(keys.parseWake(channel), channel).toBeUndefined();
    }
  });
});
