import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearest } from './demo/nearest.js';
import { dot, fromBytes, normalize, toBytes } from './vector.js';

describe('vectors', () => {
  it('keep their direction as bytes', () => {
    const vectors = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 100, maxLength: 100 });
    fc.assert(
      fc.property(vectors, (values) => {
        const vector = normalize(Float32Array.from(values));
        fc.pre(dot(vector, vector) > 0.5);
        expect(dot(vector, fromBytes(toBytes(vector)))).toBeGreaterThan(0.99);
      }),
    );
  });

  it('without direction stay so', () => {
    expect(fromBytes(toBytes(new Float32Array(3)))).toEqual(new Float32Array(3));
  });
});

describe('nearest', () => {
  it('gives the best by cosine similarity, the best first', () => {
    const items = [
      [0, 1],
      [1, 0],
      [1, 1],
      [-1, 0],
    ].map((values, i) => ({ name: i, vector: normalize(Float32Array.from(values)) }));
    const found = nearest(Float32Array.from([1, 0]), items, 2);
    expect(found.map(({ name }) => name)).toEqual([1, 2]);
    expect(found[0]!.score).toBeCloseTo(1);
  });
});
