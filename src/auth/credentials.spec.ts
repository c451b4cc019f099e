import type { Request } from 'express';
import { describe, expect, it } from 'vitest';
import { newProject } from '../../test/support/projects.js';
import { cookie, Credentials } from './credentials.js';
import { may, type Principal, ROLES } from './principal.js';

const request = (headers: Record<string, string>): Request => ({ headers }) as unknown as Request;

describe('a cookie', () => {
  it.each([
    ['session=abc', 'abc'],
    ['a=1; session=abc; b=2', 'abc'],
    ['session=abc=def==', 'abc=def=='],
    ['  session = abc ', 'abc'],
    ['session=first; session=second', 'first'],
    ['session=', ''],
    ['xsession=abc', undefined],
    ['session', undefined],
    ['=session', undefined],
    ['', undefined],
  ])('in %j is %j', (header, value) => {
    expect(cookie(request({ cookie: header }), 'session')).toBe(value);
  });

  it('is missing without the header', () => {
    expect(cookie(request({}), 'session')).toBeUndefined();
  });
});

describe('the kinds of credential', () => {
  const principal = (userId: string): Principal => ({
    userId,
    role: 'viewer',
    via: 'session',
    expiresAt: 0,
    ambient: false,
  });
  const kind = (order: number, header: string) => ({
    order,
    extract: ({ headers }: Request) => headers[header] as string | undefined,
    verify: (_projectId: unknown, credential: string) => principal(credential),
  });

  it('are asked in their order; the first that finds something decides', () => {
    const credentials = new Credentials();
    credentials.register(kind(20, 'second'));
    credentials.register(kind(10, 'first'));
    const authenticate = (headers: Record<string, string>) => credentials.authenticate(newProject(), request(headers));
    expect(authenticate({ second: 'b', first: 'a' })).toMatchObject({ userId: 'a' });
    expect(authenticate({ second: 'b' })).toMatchObject({ userId: 'b' });
    expect(() => authenticate({ third: 'c' })).toThrow(expect.objectContaining({ code: 'unauthenticated' }));
  });
});

describe('a role', () => {
  it('may what the table of the contract says', () => {
    const table = ROLES.map((role) => [
      role,
      (['read', 'write', 'enqueue', 'work', 'own'] as const).filter((access) => may(role, access)).join(' '),
    ]);
    expect(table).toEqual([
      ['viewer', 'read'],
      ['editor', 'read write enqueue'],
      ['worker', 'read write work'],
      ['owner', 'read write enqueue work own'],
    ]);
  });
});
