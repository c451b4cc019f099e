/** `npm run soak` runs the proofs at full size, `npm test` the same ones scaled down. */
export const SOAK = process.env['SOAK'] === '1';

export function scaled(test: number, soak: number): number {
  return SOAK ? soak : test;
}

/** Milliseconds that a test of this kind may take. */
export const TIMEOUT_MS = scaled(60_000, 600_000);

/** @returns a percentile of the figures, to a hundredth. */
export function percentile(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return Math.round(100 * sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!) / 100;
}

/** Shows what a full run measured. */
export function figure(what: string, figures: Record<string, unknown>): void {
  if (!SOAK) return;
  const text = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  process.stdout.write(`FIGURE ${what}: ${text.join(', ')}\n`);
}
