import type { Response } from 'express';
import type { BucketState } from './quota.state.js';

/**
 * Adds a limit to `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, lists of RFC 9651): quota `q` and
 * window `w` in seconds; remaining `r`, and `t` in seconds until the bucket is full, or until a refused call can pass.
 * Written by hand, because it stands before every request; an action is a name, so nothing in it needs escaping.
 */
export function addRateLimit(response: Response, action: string, bucket: BucketState): void {
  const { limit, windowSeconds, remaining, resetMs, retryMs } = bucket;
  const t = Math.ceil((retryMs || resetMs) / 1000);
  add(response, 'RateLimit-Policy', `"${action}";q=${limit};w=${windowSeconds}`);
  add(response, 'RateLimit', `"${action}";r=${remaining};t=${t}`);
}

function add(response: Response, name: string, item: string): void {
  const before = response.getHeader(name);
  response.setHeader(name, before === undefined ? item : `${String(before)}, ${item}`);
}
