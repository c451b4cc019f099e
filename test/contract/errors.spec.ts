import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/common/error-codes.js';

/** The sections of the page: code, status, and whether it says that a repetition can pass. */
const sections = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    code: /^`([a-z_]+)`$/m.exec(section)?.[1],
    status: Number(/^(\d{3})\. /m.exec(section)?.[1]),
    repeat: / Repeat\? (Yes|No|It may)/.exec(section)?.[1],
  }));

describe('docs/errors.md', () => {
  it('has a section for each code and for nothing else, in the order of the code', () => {
    expect(sections.map(({ code }) => code)).toEqual(Object.keys(ERROR_CODES));
  });

  it('says the status of each code, and whether a repetition can pass', () => {
    for (const [code, { status, retryable }] of Object.entries(ERROR_CODES)) {
      const section = sections.find((candidate) => candidate.code === code);
      expect(section?.status, code).toBe(status);
      expect(section?.repeat === 'Yes', code).toBe(retryable);
    }
  });
});
