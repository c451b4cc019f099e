import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgressEvent } from '../progress-event.js';
import { coalesce } from './coalesce.js';

const event = (seq: number, data: object, operationId: string | null = 'a', type = 'step', ends = false) =>
  new ProgressEvent({
    cursor: { epoch: 'e', seq },
    json: JSON.stringify({ type, data, operation_id: operationId ?? undefined, id: `e-${seq}` }),
    operationId: operationId ?? undefined,
    ends,
  });
const show = (runs: ProgressEvent[][]) => runs.map((run) => run.map(({ id, json }) => [id, JSON.parse(json).data]));

describe('merging for slow readers', () => {
  it('joins adjacent text of one operation and lets its latest counts win, and shows only the last the way on', () => {
    const runs = coalesce([
      event(5, { off: 0, text: 'grü' }),
      event(6, { done: 1, total: 9 }),
      event(7, { off: 4, text: 'ße' }),
      event(8, { off: 0, text: 'other' }, 'b'),
      event(9, { done: 2 }),
    ]);
    expect(show(runs)).toEqual([
      [
        ['e-4', { off: 0, text: 'grüße' }],
        ['e-4', { done: 2, total: 9 }],
        ['e-9', { off: 0, text: 'other' }],
      ],
    ]);
    for (const { id, json } of runs[0]!) expect(JSON.parse(json).id).toBe(id);
  });

  it('moves nothing past any other event, and leaves those as they are', () => {
    const barriers = [
      event(3, { off: 2, text: 'c', done: 1 }),
      event(3, { done: 1, status: 'running' }),
      event(3, { done: 'much' }),
      event(3, { text: 'c' }),
      event(3, {}),
      event(3, { off: 2, text: 'c' }, null),
      event(3, { done: 1 }, 'a', 'step', true),
    ];
    for (const barrier of barriers) {
      const runs = coalesce([
        event(1, { off: 0, text: 'a' }),
        event(2, { off: 1, text: 'b' }),
        barrier,
        event(4, { off: 2, text: 'd' }),
      ]);
      expect(runs.map((run) => run.map(({ id }) => id))).toEqual([['e-2'], ['e-3'], ['e-4']]);
      expect(runs[1]![0]).toBe(barrier);
    }
  });

  it('takes of repeated text only what is new, and merges neither over a hole nor inside a character', () => {
    const texts = (...parts: [number, string][]) =>
      show(coalesce(parts.map(([off, text], i) => event(i + 1, { off, text })))).flat();
    expect(texts([0, 'abc'], [1, 'bcd'], [0, 'ab'])).toEqual([['e-3', { off: 0, text: 'abcd' }]]);
    expect(texts([0, 'a'], [5, 'b']).map(([id]) => id)).toEqual(['e-1', 'e-2']);
    expect(texts([0, 'a'], [0, 'ü']).map(([id]) => id)).toEqual(['e-1', 'e-2']);
  });

  it('gives the same text, counts and order of the rest, whatever comes, also when a client is cut and gets a run again', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('text'),
        operation: fc.constantFrom('a', 'b'),
        text: fc.string({ unit: 'grapheme' }),
      }),
      fc.record({ kind: fc.constant('count'), operation: fc.constantFrom('a', 'b'), text: fc.constant('') }),
      fc.record({ kind: fc.constant('other'), operation: fc.constantFrom('a', 'b'), text: fc.constant('') }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(), (steps, cut) => {
        const ends: Record<string, number> = { a: 0, b: 0 };
        const events = steps.map(({ kind, operation, text }, i) => {
          const well = Buffer.from(text).toString();
          const off = ends[operation]!;
          if (kind === 'text') ends[operation] = off + Buffer.byteLength(well);
          const data = { text: { off, text: well }, count: { done: i }, other: { n: i } }[kind]!;
          return event(i + 1, data, operation);
        });
        // A client: it remembers the last id, and is cut once.
        const view = {
          text: { a: '', b: '' } as Record<string, string>,
          done: {} as Record<string, number>,
          other: [] as number[],
        };
        const take = ({ operationId, data }: ProgressEvent): void => {
          const { off, text, done, n } = data as { off: number; text?: string; done?: number; n?: number };
          const id = operationId!;
          if (text !== undefined)
            view.text[id] =
              view.text[id]! +
              Buffer.from(text)
                .subarray(Buffer.byteLength(view.text[id]!) - off)
                .toString();
          if (done !== undefined) view.done[id] = done;
          if (n !== undefined) view.other.push(n);
        };
        const first = coalesce(events).flat();
        const seen = first.slice(0, first.length === 0 ? 0 : cut % (first.length + 1));
        seen.forEach(take);
        coalesce(events.slice(seen.at(-1)?.cursor.seq ?? 0))
          .flat()
          .forEach(take);
        for (const id of ['a', 'b']) {
          const mine = events.filter(({ operationId }) => operationId === id).map(({ data }) => data as never);
          expect(view.text[id]).toBe(mine.map(({ text }: { text?: string }) => text ?? '').join(''));
          expect(view.done[id]).toBe(mine.map(({ done }: { done?: number }) => done).findLast((d) => d !== undefined));
        }
        expect(view.other).toEqual(events.flatMap(({ data }) => (data as { n?: number }).n ?? []));
      }),
    );
  });
});
