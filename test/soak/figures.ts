/** A line for the table in docs/reliability.md. */
export function figure(text: string): void {
  process.stdout.write(`FIGURE ${text}\n`);
}

/** @returns a size of the run: `full`, or what the environment says for a shorter one. */
export function size(name: string, full: number): number {
  return Number(process.env[name] ?? full);
}

/** @returns the value that the share `p` (0–1) of all values does not exceed. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * p) - 1, 0)] ?? NaN;
}

/** Numbers in [0, 1) that SEED repeats (mulberry32). */
export function random(seed = Number(process.env['SEED'] ?? 1)): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
