import { hash, randomFillSync } from 'node:crypto';

// Asking the system for 24 bytes costs ten times as much as taking them from what it gave at once.
const pool = Buffer.alloc(4096);
let used = pool.length;

function random(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const text = pool.toString('base64url', used, used + bytes);
  // What was given out shall be in the caller's hands alone.
  pool.fill(0, used, used + bytes);
  used += bytes;
  return text;
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
  return hash('sha256', text, 'base64url').slice(0, length);
}
