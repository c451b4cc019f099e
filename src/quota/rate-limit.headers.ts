import type { Response } from 'express';
import { bucketName, bucketsOf, type RulesState } from './quota.state.js';

/**
 * Adds a limit to `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, lists of RFC 9651), an item for each
 * of its buckets: quota `q` and window `w` in seconds; remaining `r`, and `t` in seconds until the bucket is full, or until a
 * refused call can pass. A dry rule is marked `dry`, and `refuses` where it would have refused.
 * Written by hand, because it stands before every request; an action is a name, so nothing in it needs escaping.
 */
export function addRateLimit(response: Response, action: string, state: RulesState): void {
  bucketsOf(state).forEach(({ limit, windowSeconds, remaining, resetMs, retryMs, dry }, i) => {
    const name = bucketName(action, state, i);
    const t = Math.ceil((retryMs || resetMs) / 1000);
    add(response, 'RateLimit-Policy', `"${name}";q=${limit};w=${windowSeconds}${dry ? ';dry' : ''}`);
    add(response, 'RateLimit', `"${name}";r=${remaining};t=${t}${dry && retryMs > 0 ? ';refuses' : ''}`);
  });
}

function add(response: Response, name: string, item: string): void {
  const before = response.getHeader(name);
  response.setHeader(name, before === undefined ? item : `${String(before)}, ${item}`);
}
