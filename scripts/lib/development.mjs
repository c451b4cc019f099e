import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './prepare.mjs';

/** Everything that `npm start` keeps between starts; ignored by git. */
export const DATA_FOLDER = join(ROOT, '.data');
export const API_PORT = 5210;
export const REDIS_PORT = 5240;
const TOKEN_DAYS = 30;

/**
 * @typedef {object} DevelopmentSecrets
 * @property {string} adminPassword of the Redis user `default`
 * @property {string} appPassword of the Redis user `api`
 * @property {string} jwtSecret
 * @property {string} projectId a project to try things in, UUID
 */

/**
 * The secrets of this folder, made at the first call and readable by its owner alone.
 *
 * @param {string} [folder]
 * @returns {DevelopmentSecrets}
 */
export function developmentSecrets(folder = DATA_FOLDER) {
  const file = join(folder, 'secrets.json');
  const secret = () => randomBytes(32).toString('hex');
  /** @type {DevelopmentSecrets} */
  const fresh = { adminPassword: secret(), appPassword: secret(), jwtSecret: secret(), projectId: randomUUID() };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `${JSON.stringify(fresh, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    return fresh;
  } catch {
    return JSON.parse(readFileSync(file, 'utf8'));
  }
}

/**
 * The settings under which `npm start` runs the API, for programs beside it (a demo, a worker): what the environment
 * says, and what is missing there from the secrets of this folder.
 *
 * @param {NodeJS.ProcessEnv} environment
 * @param {DevelopmentSecrets} secrets
 * @returns {NodeJS.ProcessEnv}
 */
export function developmentEnvironment(environment, secrets) {
  const settings = { ...environment };
  settings.HOST ||= '127.0.0.1';
  settings.PORT ||= String(API_PORT);
  if (!namesRedis(environment)) settings.REDIS_URL = `redis://api:${secrets.appPassword}@127.0.0.1:${REDIS_PORT}`;
  if (!settings.AUTH_JWT_SECRET && !settings.AUTH_JWKS_URL) settings.AUTH_JWT_SECRET = secrets.jwtSecret;
  return settings;
}

/**
 * Whether the environment names a Redis for the API's state, however it is reached.
 *
 * @param {NodeJS.ProcessEnv} environment
 */
export function namesRedis(environment) {
  return Boolean(environment.REDIS_URL || environment.REDIS_CLUSTER_NODES || environment.REDIS_SENTINELS);
}

/**
 * A JWT (HS256) that makes its bearer the owner of one project for 30 days; undefined when the API takes only tokens of
 * a key server, for which nobody here can sign.
 *
 * @param {NodeJS.ProcessEnv} settings as developmentEnvironment() makes them
 * @param {string} projectId
 * @returns {string | undefined}
 */
export function developmentToken(settings, projectId) {
  // While secrets rotate there are several; any of them is good.
  const secret = settings.AUTH_JWT_SECRET?.split(',')[0]?.trim();
  if (!secret) return undefined;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: 'developer',
    iat: now,
    exp: now + TOKEN_DAYS * 86_400,
    ...(settings.AUTH_ISSUER && { iss: settings.AUTH_ISSUER }),
    ...(settings.AUTH_AUDIENCE && { aud: settings.AUTH_AUDIENCE }),
    projects: { [projectId]: 'owner' },
  };
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** @param {object} value */
function base64url(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
