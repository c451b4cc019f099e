import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAppError } from './app-error.js';
import { parseProjectId } from './project-id.js';

const GOOD = '3f8a1c2e-5b7d-4e9f-8a1b-2c3d4e5f6a7b';

const refuses = (value: unknown): boolean => {
  try {
    parseProjectId(value);
    return false;
  } catch (error) {
    return isAppError(error, 'project_id_invalid');
  }
};

describe('a project id', () => {
  it('is any UUID, of any version and variant', () => {
    expect(parseProjectId(GOOD)).toBe(GOOD);
    fc.assert(fc.property(fc.uuid(), (id) => parseProjectId(id) === id));
    expect(parseProjectId('ffffffff-ffff-ffff-ffff-fffffffffffe')).toBe('ffffffff-ffff-ffff-ffff-fffffffffffe');
  });

  it('is kept in lower case', () => {
    expect(parseProjectId(GOOD.toUpperCase())).toBe(GOOD);
  });

  it.each([
    ['the nil UUID', '00000000-0000-0000-0000-000000000000'],
    ['the max UUID', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
    ['the max UUID in upper case', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'],
    ['nothing', undefined],
    ['null', null],
    ['an empty string', ''],
    ['a number', 1],
    ['an array with one id', [GOOD]],
    ['an object that reads like an id', { toString: () => GOOD }],
    ['a colon', ':'],
    ['an id with a colon behind it', `${GOOD}:`],
    ['a glob', '*'],
    ['an id with a glob in it', GOOD.replace('3', '*')],
    ['a brace', '{'],
    ['an id in braces', `{${GOOD}}`],
    ['a urn', `urn:uuid:${GOOD}`],
    ['NUL', '\0'],
    ['an id with NUL behind it', `${GOOD}\0`],
    ['an id with a newline behind it', `${GOOD}\n`],
    ['an id with a newline before it', `\n${GOOD}`],
    ['an id with spaces around it', ` ${GOOD} `],
    ['an id without dashes', GOOD.replaceAll('-', '')],
    ['an id that is cut', GOOD.slice(0, -1)],
    ['two ids', `${GOOD},${GOOD}`],
    ['129 characters', 'a'.repeat(129)],
    ['digits of another script', GOOD.replace('3', '３')],
    ['a letter that lower-cases to ASCII', GOOD.replace('a', 'K')],
  ])('is not %s', (_what, value) => {
    expect(refuses(value)).toBe(true);
  });

  it('is nothing but 36 characters of hex and dashes, whatever comes in', () => {
    fc.assert(fc.property(fc.anything(), (value) => refuses(value) || /^[0-9a-f-]{36}$/.test(parseProjectId(value))));
  });
});
