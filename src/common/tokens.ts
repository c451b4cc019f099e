import { createHash, randomBytes } from 'node:crypto';

// Asking the system for 12 bytes costs more than a call's own work: so many are fetched at once, and each is used once.
const POOL_BYTES = 8192;
let pool: Buffer = Buffer.alloc(0);
let used = 0;

function random(bytes: number): string {
  if (used + bytes > pool.length) {
    pool = randomBytes(POOL_BYTES);
    used = 0;
  }
  used += bytes;
  return pool.toString('base64url', used - bytes, used);
}

/** @returns an unguessable URL-safe token of 192 random bits (32 characters). */
export function randomToken(): string {
  return random(24);
}

/** @returns an id of 96 random bits (16 characters of `[A-Za-z0-9_-]`): unique, but no secret. */
export function randomId(): string {
  return random(12);
}

/** @returns the SHA-256 of `text` in base64url, cut to `length` characters: for keys, and for secrets at rest. */
export function sha256(text: string | Buffer, length = 43): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, length);
}
