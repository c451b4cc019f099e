import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Request } from 'express';
import {
  createRemoteJWKSet,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
} from 'jose';
import { AppError } from '../common/app-error.js';
import { parseProjectId, type ProjectId } from '../common/project-id.js';
import { AppConfig } from '../config/app-config.js';
import { type CredentialKind, Credentials } from './credentials.js';
import { isRole, type Principal, type Role } from './principal.js';

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;
const REMEMBERED = 10_000;
const ASYMMETRIC = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];

// What jose says when the JWKS cannot be had: too slow, another answer than 200, not a JWKS.
const KEYS_AWAY: ReadonlySet<string> = new Set([
  errors.JWKSTimeout.code,
  errors.JWKSInvalid.code,
  errors.JOSEError.code,
]);

interface Claims {
  readonly userId: string;
  readonly expiresAt: number;
  readonly projects: ReadonlyMap<ProjectId, Role>;
  readonly wildcard: Role | undefined;
  /** One frozen principal per project: a hot token costs no allocation. */
  readonly principals: Map<ProjectId, Principal>;
}

/**
 * `Authorization: Bearer <JWT>` (RFC 7519), checked with HS256 secrets (several while one is rotated) or a JWKS.
 * Algorithms are pinned, so `none` and a public key used as a secret never pass; `sub`, `exp` and `projects` are required.
 * Verified tokens are remembered until they expire, in a bounded map: a signature is checked once per process.
 */
@Injectable()
export class JwtCredential implements CredentialKind, OnModuleInit {
  readonly order = 10;
  readonly #remembered = new Map<string, Claims>();
  readonly #verifiers: ((token: string) => Promise<JWTVerifyResult>)[];

  constructor(
    private readonly config: AppConfig,
    private readonly credentials: Credentials,
  ) {
    const options: JWTVerifyOptions = {
      requiredClaims: ['sub', 'exp', 'projects'],
      ...(config.AUTH_ISSUER === undefined ? {} : { issuer: config.AUTH_ISSUER }),
      ...(config.AUTH_AUDIENCE === undefined ? {} : { audience: config.AUTH_AUDIENCE }),
    };
    const secrets = (config.AUTH_JWT_SECRET ?? []).map((secret) => new TextEncoder().encode(secret));
    this.#verifiers = secrets.map(
      (secret) => (token: string) => jwtVerify(token, secret, { ...options, algorithms: ['HS256'] }),
    );
    if (config.AUTH_JWKS_URL) {
      const keys = createRemoteJWKSet(new URL(config.AUTH_JWKS_URL), { timeoutDuration: 3000 });
      this.#verifiers.push((token) => jwtVerify(token, keys, { ...options, algorithms: ASYMMETRIC }));
    }
  }

  onModuleInit(): void {
    this.credentials.register(this);
  }

  extract(request: Request): string | undefined {
    const header = request.headers.authorization;
    if (header === undefined || !/^bearer/i.test(header)) return undefined;
    return BEARER.exec(header)?.[1] ?? '';
  }

  verify(projectId: ProjectId, token: string): Promise<Principal> | Principal {
    const known = this.#remembered.get(token);
    if (known === undefined) return this.#verify(token).then((claims) => this.#principal(projectId, claims));
    if (known.expiresAt > Date.now()) return this.#principal(projectId, known);
    this.#remembered.delete(token);
    throw unauthenticated('The token has expired.');
  }

  #principal(projectId: ProjectId, claims: Claims): Principal {
    const cached = claims.principals.get(projectId);
    if (cached) return cached;
    const role = claims.projects.get(projectId) ?? claims.wildcard;
    if (role === undefined) throw new AppError('forbidden', 'auth.jwt', 'The token is not valid for this project.');
    const principal: Principal = Object.freeze({
      userId: claims.userId,
      role,
      via: 'jwt',
      expiresAt: claims.expiresAt,
      ambient: false,
    });
    // A wildcard token may visit any number of projects; its principals are made anew.
    if (claims.projects.has(projectId)) claims.principals.set(projectId, principal);
    return principal;
  }

  async #verify(token: string): Promise<Claims> {
    let refusal: unknown;
    for (const verifier of this.#verifiers) {
      try {
        const claims = this.#claims((await verifier(token)).payload);
        this.#remember(token, claims);
        return claims;
      } catch (error) {
        if (error instanceof AppError) throw error;
        // The reason of the verifier that knew the key is the one worth telling.
        if (refusal === undefined || !(error instanceof errors.JWSSignatureVerificationFailed)) refusal = error;
      }
    }
    throw refusalOf(refusal);
  }

  #claims(payload: JWTPayload): Claims {
    const { sub, exp } = payload;
    const projects = (payload as { projects?: unknown }).projects;
    if (typeof sub !== 'string' || sub.length === 0 || sub.length > 256)
      throw unauthenticated('`sub` must be 1 to 256 characters.');
    if (typeof exp !== 'number') throw unauthenticated('`exp` is required.');
    if (typeof projects !== 'object' || projects === null || Array.isArray(projects)) {
      throw unauthenticated('`projects` must map project ids to roles.');
    }
    const roles = new Map<ProjectId, Role>();
    let wildcard: Role | undefined;
    for (const [id, role] of Object.entries(projects)) {
      if (!isRole(role)) throw unauthenticated('`projects` names a role that does not exist.');
      if (id === '*') wildcard = this.config.AUTH_ALLOW_WILDCARD ? role : undefined;
      else roles.set(projectIdOf(id), role);
    }
    return { userId: sub, expiresAt: exp * 1000, projects: roles, wildcard, principals: new Map() };
  }

  // Oldest out: a Map keeps the order of insertion.
  #remember(token: string, claims: Claims): void {
    if (this.#remembered.size >= REMEMBERED) {
      const oldest = this.#remembered.keys().next().value;
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(token, claims);
  }
}

function projectIdOf(id: string): ProjectId {
  try {
    return parseProjectId(id);
  } catch {
    throw unauthenticated('`projects` holds a key that is no project id.');
  }
}

function refusalOf(error: unknown): AppError {
  if (error instanceof errors.JWTExpired) return unauthenticated('The token has expired.');
  if (error instanceof errors.JWTClaimValidationFailed)
    return unauthenticated(`The claim \`${error.claim}\` is missing or wrong.`);
  if (!(error instanceof errors.JOSEError) || KEYS_AWAY.has(error.code)) {
    return new AppError('auth_unavailable', 'auth.jwks', 'The signing keys cannot be read now.', {
      cause: error,
      retryAfterSeconds: 2,
    });
  }
  return unauthenticated('The token is not valid.');
}

function unauthenticated(message: string): AppError {
  return new AppError('unauthenticated', 'auth.jwt', message);
}
