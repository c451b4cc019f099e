import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgressEvent } from '../progress-event.js';
import { Continuity } from './continuity.js';

const event = (seq: number, epoch = 'e'): ProgressEvent => new ProgressEvent({ cursor: { epoch, seq }, json: '{}' });

describe('joining history and live events', () => {
  it('gives out every event once and in order, whatever pub/sub loses and repeats and whenever history is read', () => {
    const heard = fc.oneof(fc.constant('hear'), fc.constant('lose'), fc.constant('repeat'), fc.constant('read'));
    fc.assert(
      fc.property(fc.array(heard, { maxLength: 200 }), (steps) => {
        const continuity = new Continuity();
        continuity.position = { epoch: 'e', seq: 0 };
        const given: number[] = [];
        const give = (next: ProgressEvent): void => {
          continuity.position = next.cursor;
          given.push(next.cursor.seq);
        };
        let last = 0;
        const read = (): void => {
          do {
            continuity.hold();
            while (continuity.position!.seq < last) give(event(continuity.position!.seq + 1));
          } while (!continuity.resume(give));
        };
        const hear = (seq: number): void => {
          const verdict = continuity.judge(event(seq));
          if (verdict === 'next') give(event(seq));
          if (verdict === 'gap') read();
        };
        for (const step of steps) {
          if (step === 'read') read();
          else if (step === 'repeat') hear(Math.max(1, last));
          else {
            last += 1;
            if (step === 'hear') hear(last);
          }
        }
        read();
        last = Math.max(last, given.at(-1) ?? 0);
        expect(given).toEqual(Array.from({ length: last }, (_, i) => i + 1));
      }),
    );
  });

  it('does not join events of another epoch, nor what it had to drop', () => {
    const continuity = new Continuity();
    continuity.position = { epoch: 'e', seq: 5 };
    const given: number[] = [];
    continuity.judge(event(6));
    continuity.judge(event(1, 'other'));
    expect(continuity.resume((next) => given.push((continuity.position = next.cursor).seq))).toBe(false);
    expect([given, continuity.live]).toEqual([[6], false]);
    continuity.hold();
    expect(continuity.resume(() => undefined)).toBe(true);
    expect(continuity.judge(event(1, 'other'))).toBe('gap');
    continuity.hold();
    for (let seq = 7; seq < 2000; seq += 1) continuity.judge(event(seq));
    expect(continuity.resume(() => undefined)).toBe(false);
  });
});
