/** Numbers in [0, 1) that are the same for the same seed (mulberry32), so that a failure can be repeated. */
export function random(seed: number): () => number;
