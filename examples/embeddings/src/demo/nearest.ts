import { dot } from '../vector.js';

/** A piece of text with the vector of its meaning. */
export interface Embedded {
  readonly vector: Float32Array;
}

/** @returns the `count` items that are most like the question by cosine similarity, the best first; vectors have length 1. */
export function nearest<T extends Embedded>(
  question: Float32Array,
  items: readonly T[],
  count: number,
): (T & { readonly score: number })[] {
  return items
    .map((item) => ({ ...item, score: dot(question, item.vector) }))
    .sort((a, b) => b.score - a.score)
    .slice(0, count);
}
