import { describe, expect, it } from 'vitest';
import { Lru } from './lru.js';

describe('a map that forgets', () => {
  it('keeps the entries used last, in whatever way they were used', () => {
    const lru = new Lru<string, number>(3);
    for (const [i, key] of ['a', 'b', 'c'].entries()) lru.set(key, i);
    expect(['c', 'a', 'a', 'c'].map((key) => lru.get(key))).toEqual([2, 0, 0, 2]);
    lru.set('d', 3);
    expect(lru.get('b')).toBeUndefined();
    lru.delete('d');
    lru.set('d', 4);
    lru.get('a');
    lru.set('e', 5);
    expect(['a', 'c', 'd', 'e'].map((key) => lru.get(key))).toEqual([0, undefined, 4, 5]);
    lru.clear();
    expect([lru.size, lru.get('e')]).toEqual([0, undefined]);
  });

  it('keeps no more than its weight, and nothing that weighs more alone', () => {
    const lru = new Lru<string, string>(10, 100);
    lru.set('a', 'x', 60);
    lru.set('b', 'y', 40);
    lru.get('a');
    lru.set('c', 'z', 40);
    expect([lru.get('a'), lru.get('b'), lru.get('c'), lru.weight]).toEqual(['x', undefined, 'z', 100]);
    lru.set('a', 'too much', 101);
    expect([lru.get('a'), lru.size, lru.weight]).toEqual([undefined, 1, 40]);
  });
});
