/** `SOAK=1` (`npm run soak`) runs the proofs at full size; otherwise they are scaled down by one factor. */
export const FULL = process.env['SOAK'] === '1';

/** @returns the full figure in a soak, and a `factor`th of it in `npm test`. */
export const scaled = (full: number, factor = 25): number => (FULL ? full : Math.ceil(full / factor));

/** A seeded generator (mulberry32), so that a failure can be repeated: numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Shows what a full run measured. */
export function figure(what: string, figures: Record<string, unknown>): void {
  if (!FULL) return;
  const text = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  process.stdout.write(`FIGURE ${what}: ${text.join(', ')}\n`);
}
