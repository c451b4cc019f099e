/** @returns a size of the run: `full`, or what the environment says for a shorter one. */
export function size(name: string, full: number): number {
  return Number(process.env[name] ?? full);
}
