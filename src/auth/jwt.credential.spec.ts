import { SignJWT, UnsecuredJWT } from 'jose';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { JwksServer } from '../../test/support/jwks-server.js';
import { JWT_SECRET, newProject, signToken } from '../../test/support/projects.js';
import { loadConfig } from '../config/app-config.js';
import { Credentials } from './credentials.js';
import { JwtCredential } from './jwt.credential.js';
import type { Principal } from './principal.js';

const OTHER_SECRET = 'another-secret-of-the-tests-of-32-bytes-or-more';
const projectId = newProject();
const claims = { projects: { [projectId]: 'editor' } };

function credential(env: Record<string, string | undefined> = {}): JwtCredential {
  const config = loadConfig({ REDIS_URL: 'redis://127.0.0.1:1', AUTH_JWT_SECRET: JWT_SECRET, ...env });
  return new JwtCredential(config, new Credentials());
}

/** @returns the role in {@link projectId}, or the code of the refusal. */
async function verify(token: string, by = credential()): Promise<string> {
  try {
    return (await by.verify(projectId, token)).role;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** A token with an unusual header or key, valid otherwise. */
function sign(alg: string, secret: string): Promise<string> {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg }).setSubject('user').setExpirationTime('10 minutes');
  return jwt.sign(new TextEncoder().encode(secret));
}

describe('a bearer token', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('proves who it is, with which role, until when', async () => {
    const token = await signToken(claims, { user: 'Ünal|1', expiresIn: 2_000_000_000 });
    const principal = await credential().verify(projectId, token);
    expect(principal).toEqual<Principal>({
      userId: 'Ünal|1',
      role: 'editor',
      via: 'jwt',
      expiresAt: 2_000_000_000_000,
      ambient: false,
    });
    expect(Object.isFrozen(principal)).toBe(true);
  });

  it.each([
    ['is no token', async () => 'a.b.c'],
    ['is empty', async () => ''],
    ['has expired', () => signToken(claims, { expiresIn: '-1 second' })],
    ['has no exp', () => signToken(claims, { expiresIn: null })],
    ['has no sub', () => signToken(claims, { user: null })],
    ['has an empty sub', () => signToken(claims, { user: '' })],
    ['has a sub of 257 characters', () => signToken(claims, { user: 'a'.repeat(257) })],
    ['has a sub that is no string', () => signToken({ ...claims, sub: 5 }, { user: null })],
    ['is not valid yet', () => signToken({ ...claims, nbf: 4_000_000_000 })],
    ['is signed with another secret', () => signToken(claims, { secret: OTHER_SECRET })],
    ['is signed with HS512', () => sign('HS512', JWT_SECRET.repeat(2))],
    ['is signed with HS384', () => sign('HS384', JWT_SECRET.repeat(2))],
    ['is not signed (alg none)', async () => new UnsecuredJWT(claims).setSubject('u').setExpirationTime('1h').encode()],
    ['has no projects', () => signToken({})],
    ['has a list of projects', () => signToken({ projects: [projectId] })],
    ['has null for projects', () => signToken({ projects: null })],
    ['has a text for projects', () => signToken({ projects: projectId })],
    ['names an unknown role', () => signToken({ projects: { [projectId]: 'admin' } })],
    ['names a role that every object has', () => signToken({ projects: { [projectId]: 'constructor' } })],
    ['names a role for a project that is none', () => signToken({ projects: { ...claims.projects, x: 'owner' } })],
  ])('is refused when it %s', async (_why, make) => {
    expect(await verify(await make())).toBe('unauthenticated');
  });

  it('is refused when a byte of it was changed', async () => {
    const [header, payload, signature] = (await signToken(claims)).split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'root', exp: 4_000_000_000 })).toString('base64url');
    expect(await verify(`${header}.${forged}.${signature}`)).toBe('unauthenticated');
    expect(await verify(`${header}.${payload}.${signature.slice(0, -2)}`)).toBe('unauthenticated');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    expect(await verify(`${none}.${payload}.`)).toBe('unauthenticated');
  });

  it('is forbidden in a project that it does not name', async () => {
    expect(await verify(await signToken({ projects: { [newProject()]: 'owner' } }))).toBe('forbidden');
    expect(await verify(await signToken({ projects: {} }))).toBe('forbidden');
  });

  it('names its projects in any case', async () => {
    expect(await verify(await signToken({ projects: { [projectId.toUpperCase()]: 'worker' } }))).toBe('worker');
  });

  it('is good with each of several secrets, while one is rotated', async () => {
    const both = credential({ AUTH_JWT_SECRET: `${OTHER_SECRET}, ${JWT_SECRET}` });
    expect(await verify(await signToken(claims), both)).toBe('editor');
    expect(await verify(await signToken(claims, { secret: OTHER_SECRET }), both)).toBe('editor');
    expect(await verify(await signToken(claims, { secret: `${JWT_SECRET}x` }), both)).toBe('unauthenticated');
    expect(await verify(await signToken(claims), credential({ AUTH_JWT_SECRET: OTHER_SECRET }))).toBe(
      'unauthenticated',
    );
  });

  it('may name all projects only where the wildcard is allowed; a project of its own wins', async () => {
    const open = credential({ AUTH_ALLOW_WILDCARD: 'true' });
    const all = await signToken({ projects: { '*': 'viewer' } });
    expect(await verify(all)).toBe('forbidden');
    expect(await verify(all, open)).toBe('viewer');
    expect(await verify(await signToken({ projects: { '*': 'owner', ...claims.projects } }), open)).toBe('editor');
  });

  it('must come from the issuer and for the audience that are configured', async () => {
    const strict = credential({ AUTH_ISSUER: 'us', AUTH_AUDIENCE: 'documents' });
    expect(await verify(await signToken({ ...claims, iss: 'us', aud: ['other', 'documents'] }), strict)).toBe('editor');
    expect(await verify(await signToken({ ...claims, iss: 'us', aud: 'other' }), strict)).toBe('unauthenticated');
    expect(await verify(await signToken({ ...claims, iss: 'them', aud: 'documents' }), strict)).toBe('unauthenticated');
    expect(await verify(await signToken(claims), strict)).toBe('unauthenticated');
  });

  it('expires although it was verified before and is remembered', async () => {
    const by = credential();
    const token = await signToken(claims, { expiresIn: '1 minute' });
    expect(await verify(token, by)).toBe('editor');
    // Remembered: the answer comes without a promise.
    expect(by.verify(projectId, token)).toMatchObject({ role: 'editor' });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 });
    expect(await verify(token, by)).toBe('unauthenticated');
    expect(await verify(token, by)).toBe('unauthenticated');
  });

  it('is asked for its projects anew, also when it is remembered', async () => {
    const by = credential();
    const token = await signToken(claims);
    expect(await verify(token, by)).toBe('editor');
    expect(() => by.verify(newProject(), token)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  });
});

describe('a bearer token of an identity provider', () => {
  const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
  const only = (url: string) => credential({ AUTH_JWT_SECRET: undefined, AUTH_JWKS_URL: url });

  it('is checked with the keys that the provider publishes', async () => {
    await using provider = await JwksServer.start(...ALGORITHMS);
    const by = only(provider.url);
    for (const alg of ALGORITHMS) expect(await verify(await provider.sign(alg, claims), by), alg).toBe('editor');
    expect(provider.fetched).toBe(1);
  });

  it('is refused when another provider signed it', async () => {
    await using provider = await JwksServer.start('RS256');
    await using stranger = await JwksServer.start('RS256');
    expect(await verify(await stranger.sign('RS256', claims), only(provider.url))).toBe('unauthenticated');
  });

  it('is refused when a public key was used as a secret, or it is not signed', async () => {
    await using provider = await JwksServer.start('RS256');
    const pem = await provider.publicPem('RS256');
    const by = only(provider.url);
    for (const secret of [pem, pem.trim(), pem.replace(/-----.*-----|\n/g, '')]) {
      const forged = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'RS256' }).setSubject('user');
      const token = await forged.setExpirationTime('1h').sign(new TextEncoder().encode(secret));
      expect(await verify(token, by)).toBe('unauthenticated');
    }
    const unsigned = new UnsecuredJWT(claims).setSubject('user').setExpirationTime('1h').encode();
    expect(await verify(unsigned, by)).toBe('unauthenticated');
    expect(await verify(await signToken(claims), by)).toBe('unauthenticated');
  });

  it('may stand beside tokens of a secret', async () => {
    await using provider = await JwksServer.start('EdDSA');
    const both = credential({ AUTH_JWKS_URL: provider.url });
    expect(await verify(await signToken(claims), both)).toBe('editor');
    expect(await verify(await provider.sign('EdDSA', claims), both)).toBe('editor');
  });

  it.each([
    ['answers 500', { status: 500, body: '' }],
    ['answers no JSON', { status: 200, body: '<html>' }],
    ['answers no JWKS', { status: 200, body: '{}' }],
  ])('is neither good nor bad while the provider %s: 503, and good again after', async (_what, broken) => {
    await using provider = await JwksServer.start('RS256');
    const token = await provider.sign('RS256', claims);
    const by = credential({ AUTH_JWKS_URL: provider.url });
    const { answer } = provider;
    provider.answer = broken;
    expect(await verify(token, by)).toBe('auth_unavailable');
    // What needs no key of the provider is still told apart.
    expect(await verify(await signToken(claims), by)).toBe('editor');
    expect(await verify('no.token.at-all', by)).toBe('unauthenticated');
    provider.answer = answer;
    expect(await verify(token, by)).toBe('editor');
  });

  it('is neither good nor bad while the provider is away', async () => {
    const provider = await JwksServer.start('RS256');
    const token = await provider.sign('RS256', claims);
    const by = only(provider.url);
    await provider[Symbol.asyncDispose]();
    expect(await verify(token, by)).toBe('auth_unavailable');
  });
});
