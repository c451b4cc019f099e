import type { FieldError } from '../app-error.js';

/** Deeper JSON is refused: what walks it later (validation, serialisation) is recursive. */
const MAX_DEPTH = 64;
// The validation of DTOs drops these silently, to be safe from prototype pollution; losing a field silently is no answer.
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);

/** @returns what is wrong with the shape of a parsed body, or `undefined`. */
export function findShapeProblem(body: unknown): FieldError | undefined {
  const open: { value: object; path: string; depth: number }[] = [];
  const visit = (value: unknown, path: string, depth: number): void => {
    if (typeof value === 'object' && value !== null) open.push({ value, path, depth });
  };
  visit(body, '', 1);
  for (let at = open.pop(); at; at = open.pop()) {
    if (at.depth > MAX_DEPTH)
      return { field: at.path.slice(0, 100), message: `must not be nested deeper than ${MAX_DEPTH} levels` };
    for (const [name, value] of Object.entries(at.value)) {
      const path = at.path === '' ? name : `${at.path}.${name}`;
      if (RESERVED.has(name)) return { field: path.slice(0, 100), message: 'is a reserved name' };
      visit(value, path, at.depth + 1);
    }
  }
  return undefined;
}
