import { randomInt } from 'node:crypto';

/** `npm run soak` runs the proofs at full size, `npm test` the same ones scaled down. */
export const SOAK = process.env['SOAK'] === '1';

/** What the random parts are made of; the setting SEED repeats a run. */
export const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));

export function scaled(test: number, soak: number): number {
  return SOAK ? soak : test;
}

/** Shows what a full run measured. */
export function figure(what: string, figures: Record<string, unknown> = {}): void {
  if (!SOAK) return;
  const text = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  process.stdout.write(`FIGURE ${[what, ...(text.length > 0 ? [text.join(', ')] : [])].join(': ')}\n`);
}

/** @returns the value that the share `p` (0–1) of all values does not exceed. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * p) - 1, 0)] ?? NaN;
}
