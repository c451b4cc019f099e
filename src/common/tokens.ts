import { createHash, randomBytes } from 'node:crypto';

/** @returns an unguessable URL-safe token of 192 random bits (32 characters). */
export function randomToken(): string {
  return randomBytes(24).toString('base64url');
}

/** @returns an id of 96 random bits (16 characters of `[A-Za-z0-9_-]`): unique, but no secret. */
export function randomId(): string {
  return randomBytes(12).toString('base64url');
}

/** @returns the SHA-256 of `text` in base64url, cut to `length` characters: for keys, and for secrets at rest. */
export function sha256(text: string | Buffer, length = 43): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, length);
}
