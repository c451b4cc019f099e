/** @returns RFC 3339 UTC with milliseconds, the time format of the whole API. */
export function rfc3339(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** @returns milliseconds of a clock that never steps; only differences have a meaning. */
export function monotonicMs(): number {
  return performance.now();
}
