import { describe, expect, it } from 'vitest';
import { FairRing } from './fair-ring.js';

/** Jain's index of shares: 1 when all are equal, 1/n when one has everything. */
function jain(shares: readonly number[]): number {
  const sum = shares.reduce((a, b) => a + b, 0);
  return sum ** 2 / (shares.length * shares.reduce((a, b) => a + b * b, 0));
}

/** Serves one job after the other, of the length that its project's jobs have. @returns milliseconds by project. */
function serve(ring: FairRing<string>, lengths: Record<string, number>, jobs: number): Record<string, number> {
  const work: Record<string, number> = {};
  for (let i = 0; i < jobs; i += 1) {
    const id = ring.next()!;
    const length = lengths[id]!;
    ring.charge(id)(length);
    work[id] = (work[id] ?? 0) + length;
  }
  return work;
}

describe('the fair ring', () => {
  const ringOf = (ids: string[]): FairRing<string> => {
    const ring = new FairRing<string>();
    for (const id of ids) ring.add(id);
    return ring;
  };

  it('gives each the same time, whether its jobs are long or short', () => {
    const lengths = { a: 1000, b: 10, c: 100, d: 10, e: 37 };
    const work = serve(ringOf(Object.keys(lengths)), lengths, 20_000);
    expect(jain(Object.values(work))).toBeGreaterThan(0.99);
  });

  it('gives each its weight', () => {
    const ring = ringOf(['a', 'b']);
    ring.setWeight('a', 3);
    const work = serve(ring, { a: 20, b: 10 }, 9000);
    expect(work['a']! / work['b']!).toBeCloseTo(3, 1);
  });

  it('gives everything to one that is alone, however long its jobs are', () => {
    expect(serve(ringOf(['a']), { a: 5000 }, 100)).toEqual({ a: 500_000 });
  });

  it('passes over who is busy, and begins no round before their turns are over', () => {
    const ring = ringOf(['a', 'b', 'c']);
    ring.setWeight('a', 2);
    const busy = new Set<string>();
    const ask = (): string | undefined => {
      const id = ring.next(busy);
      if (id === undefined) return undefined;
      ring.hold(id);
      busy.add(id);
      return id;
    };
    expect([ask(), ask(), ask(), ask()]).toEqual(['a', 'b', 'c', undefined]);
    busy.delete('b');
    expect(ask()).toBeUndefined();
    busy.clear();
    expect([ask(), ask(), ask()]).toEqual(['a', 'b', 'c']);
  });

  it('serves a newcomer within one turn of each that is ready, flood or not', () => {
    const ids = Array.from({ length: 9 }, (_, i) => `p${i}`);
    const ring = ringOf(['flood', ...ids]);
    const lengths = Object.fromEntries(['flood', ...ids, 'new'].map((id) => [id, 10]));
    serve(ring, lengths, 1000);
    ring.add('new');
    let turns = 0;
    while (ring.next() !== 'new') {
      ring.charge(ring.next()!)(10);
      turns += 1;
    }
    expect(turns).toBeLessThanOrEqual(ids.length + 2);
  });

  it('remembers the debt of one that was away, and no unused credit', () => {
    const ring = ringOf(['a', 'b']);
    serve(ring, { a: 10, b: 10 }, 100);
    ring.next();
    ring.charge('a')(1000);
    ring.leave('a');
    ring.add('a');
    const work = serve(ring, { a: 10, b: 10 }, 50);
    expect(work).toEqual({ b: 500 });
  });

  it('skips who left', () => {
    const ring = ringOf(['a', 'b']);
    ring.leave('a');
    expect(serve(ring, { b: 1 }, 10)).toEqual({ b: 10 });
    ring.leave('b');
    expect(ring.next()).toBeUndefined();
  });

  it('goes on to the next while one is being asked, whose turn comes back when it had nothing', () => {
    const ring = ringOf(['a', 'b', 'c']);
    const asked = Array.from({ length: 3 }, () => {
      const id = ring.next()!;
      return { id, answered: ring.hold(id) };
    });
    expect(asked.map(({ id }) => id).sort()).toEqual(['a', 'b', 'c']);
    for (const { id, answered } of asked) {
      answered();
      if (id !== 'b') ring.leave(id);
    }
    expect(ring.next()).toBe('b');
  });

  it('counts jobs that run at the same time as they start', () => {
    const ring = ringOf(['a', 'b']);
    serve(ring, { a: 10, b: 10 }, 100);
    const started = Array.from({ length: 10 }, () => {
      const id = ring.next()!;
      ring.charge(id);
      return id;
    });
    expect(started.filter((id) => id === 'a')).toHaveLength(5);
  });
});
