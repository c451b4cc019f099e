import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

type Environment = Readonly<Record<string, string | undefined>>;

interface Secrets {
  adminPassword: string;
  appPassword: string;
  jwtSecret: string;
  projectId: string;
}

/** Plain JavaScript, because it runs before any package is there. */
const PATH = '../../scripts/lib/development.mjs';
const { developmentEnvironment, developmentSecrets, developmentToken } = (await import(PATH)) as {
  developmentEnvironment(environment: Environment, secrets: Secrets): Environment;
  developmentSecrets(folder: string): Secrets;
  developmentToken(settings: Environment, projectId: string): string | undefined;
};

let folder: string;
let secrets: Secrets;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'development-'));
  secrets = developmentSecrets(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the secrets of a folder', () => {
  it('stay the same from start to start', () => {
    expect(developmentSecrets(folder)).toEqual(secrets);
  });

  it('are readable by their owner alone', async () => {
    expect((await stat(join(folder, 'secrets.json'))).mode & 0o777).toBe(0o600);
  });

  it('are different in each folder', () => {
    const other = developmentSecrets(join(folder, 'other'));
    for (const name of Object.keys(secrets) as (keyof Secrets)[]) expect(other[name]).not.toBe(secrets[name]);
  });
});

describe('the development settings', () => {
  it('name the private Redis and its secret', () => {
    expect(developmentEnvironment({}, secrets)).toEqual({
      HOST: '127.0.0.1',
      PORT: '5210',
      REDIS_URL: `redis://api:${secrets.appPassword}@127.0.0.1:5240`,
      AUTH_JWT_SECRET: secrets.jwtSecret,
    });
  });

  it.each([
    { REDIS_URL: 'redis://elsewhere', AUTH_JWT_SECRET: 'x'.repeat(32), HOST: '0.0.0.0', PORT: '1' },
    { REDIS_CLUSTER_NODES: 'a:1', AUTH_JWKS_URL: 'https://keys', HOST: '0.0.0.0', PORT: '1' },
    { REDIS_SENTINELS: 'a:1', REDIS_SENTINEL_NAME: 'n', AUTH_JWKS_URL: 'https://keys', HOST: '::', PORT: '1' },
  ])('leave what the environment says: %o', (environment) => {
    expect(developmentEnvironment(environment, secrets)).toEqual(environment);
  });
});

describe('the development token', () => {
  it('makes its bearer the owner of one project, for some weeks', async () => {
    const token = developmentToken({ AUTH_JWT_SECRET: secrets.jwtSecret }, secrets.projectId) ?? '';
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secrets.jwtSecret), { algorithms: ['HS256'] });
    expect(decodeProtectedHeader(token).alg).toBe('HS256');
    expect(payload).toMatchObject({ sub: 'developer', projects: { [secrets.projectId]: 'owner' } });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(30 * 86_400);
  });

  it('is signed with the first of several secrets, for the issuer and audience that are asked for', async () => {
    const [first, second] = ['a'.repeat(32), 'b'.repeat(32)];
    const settings = { AUTH_JWT_SECRET: `${first},${second}`, AUTH_ISSUER: 'issuer', AUTH_AUDIENCE: 'audience' };
    const token = developmentToken(settings, secrets.projectId) ?? '';
    await jwtVerify(token, new TextEncoder().encode(first), { issuer: 'issuer', audience: 'audience' });
  });

  it('does not exist where only a key server signs', () => {
    expect(developmentToken({ AUTH_JWKS_URL: 'https://keys' }, secrets.projectId)).toBeUndefined();
  });
});
