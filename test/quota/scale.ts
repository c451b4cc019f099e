import { randomInt } from 'node:crypto';

/** `npm run soak` runs the proofs at full size, `npm test` the same ones scaled down. */
export const SOAK = process.env['SOAK'] === '1';

/** What the random parts are made of; the setting SEED repeats a run. */
export const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));

export function scaled(test: number, soak: number): number {
  return SOAK ? soak : test;
}

/** Milliseconds that a test of this kind may take. */
export const TIMEOUT_MS = scaled(60_000, 1_800_000);

/** Shows what a full run measured. */
export function figure(what: string, figures: Record<string, unknown>): void {
  if (!SOAK) return;
  const text = Object.entries(figures).map(([name, value]) => `${name} ${String(value)}`);
  process.stdout.write(`FIGURE ${what}: ${text.join(', ')}\n`);
}
