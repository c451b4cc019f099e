import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { AppError } from '../common/app-error.js';
import type { ProjectId } from '../common/project-id.js';
import type { Principal } from './principal.js';

/** One kind of credential. Features (sessions, stream tickets) register theirs when they start. */
export interface CredentialKind {
  /** Lower comes first; the first kind whose `extract` finds something decides. */
  readonly order: number;
  /** @returns the credential in the request, unverified, or `undefined` when it holds none of this kind. */
  extract(request: Request): string | undefined;
  /**
   * @returns who it is in this project.
   * @throws AppError `unauthenticated` or `forbidden`; `redis_unavailable` when that cannot be known now, never a guess.
   */
  verify(projectId: ProjectId, credential: string, request: Request): Promise<Principal> | Principal;
}

/** The kinds of credential that the application accepts, in their order. */
@Injectable()
export class Credentials {
  #kinds: CredentialKind[] = [];

  register(kind: CredentialKind): void {
    this.#kinds = [...this.#kinds, kind].sort((a, b) => a.order - b.order);
  }

  /** @throws AppError `unauthenticated` when the request carries no credential, or one that is not good. */
  authenticate(projectId: ProjectId, request: Request): Promise<Principal> | Principal {
    for (const kind of this.#kinds) {
      const credential = kind.extract(request);
      if (credential !== undefined) return kind.verify(projectId, credential, request);
    }
    throw new AppError('unauthenticated', 'auth', 'A credential is required: a bearer token or a session.');
  }
}

/** @returns the value of a cookie, undecoded, or `undefined`. The first one of a name wins. */
export function cookie(request: Request, name: string): string | undefined {
  const header = request.headers.cookie;
  if (header === undefined) return undefined;
  for (const pair of header.split(';')) {
    const eq = pair.indexOf('=');
    if (eq > 0 && pair.slice(0, eq).trim() === name) return pair.slice(eq + 1).trim();
  }
  return undefined;
}
