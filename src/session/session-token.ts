import { randomId, randomToken, sha256 } from '../common/tokens.js';

/** Shape of a session id: hash of the user, a dot, 96 random bits. It is no secret. */
export const SESSION_ID = /^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{16}$/;
const TOKEN = /^([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{32})$/;

/** What a session token says: which session, and the secret that proves it. Redis holds the secret's hash only. */
export interface SessionToken {
  readonly sessionId: string;
  readonly secretHash: string;
}

/** @returns a new session's token for the client, and what is kept of it. */
export function issueToken(userId: string): SessionToken & { readonly token: string } {
  return issueSecret(`${userHash(userId)}.${randomId()}`);
}

/** @returns a token with a new secret for a session that there is. */
export function issueSecret(sessionId: string): SessionToken & { readonly token: string } {
  const secret = randomToken();
  return { sessionId, secretHash: sha256(secret), token: `${sessionId}.${secret}` };
}

/** @returns `undefined` for what cannot be a token. */
export function parseToken(token: string): SessionToken | undefined {
  const match = TOKEN.exec(token);
  return match ? { sessionId: match[1]!, secretHash: sha256(match[2]!) } : undefined;
}

/** @returns 132 bits of the user's hash: a user id is any text, so it cannot stand in a key itself. */
export function userHash(userId: string): string {
  return sha256(userId, 22);
}
