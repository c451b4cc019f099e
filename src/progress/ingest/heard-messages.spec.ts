import { describe, expect, it } from 'vitest';
import type { NewEvent } from '../progress.scripts.js';
import { HeardMessages } from './heard-messages.js';

const event = (body: string): NewEvent => ({ body, operationId: undefined, update: { status: 'running', fields: [] } });

describe('what an instance keeps of messages that it does not log', () => {
  const hear = (heard: HeardMessages, ...bodies: string[]): void => {
    for (const body of bodies) {
      const place = heard.next();
      if (place) heard.keep(place, event(body), false);
    }
  };
  const kept = (heard: HeardMessages): string[] => {
    const bodies: string[] = [];
    for (let first = heard.first; first; first = heard.first) {
      bodies.push(first.event.body);
      heard.forget(first.place);
    }
    return bodies;
  };

  it('gives equal places to all that count from the same mark, and none to what was heard before it', () => {
    const [one, two] = [new HeardMessages(), new HeardMessages()];
    hear(one, 'early');
    one.align('line', 1);
    hear(one, 'a', 'b');
    one.align('line', 2);
    two.align('line', 2);
    hear(one, 'c', 'd');
    hear(two, 'c', 'd');
    two.takeOver('line', { mark: 2, index: 1 });
    one.takeOver('line', { mark: 1, index: 1 });
    expect(kept(two)).toEqual(['d']);
    expect(kept(one)).toEqual(['b', 'c', 'd']);
  });

  it('has no place for what comes after a loss, until the next mark, but keeps what it heard before', () => {
    const heard = new HeardMessages();
    heard.align('line', 1);
    hear(heard, 'a');
    heard.lose();
    hear(heard, 'b');
    expect(heard.aligned).toBe(false);
    heard.align('line', 2);
    hear(heard, 'c');
    expect(kept(heard)).toEqual(['a', 'c']);
  });

  it('logs nothing of another line: its places mean something else', () => {
    const heard = new HeardMessages();
    heard.align('line', 1);
    hear(heard, 'a');
    heard.takeOver('other', { mark: 0, index: 0 });
    expect([heard.first, heard.aligned]).toEqual([undefined, false]);
    heard.align('other', 1);
    hear(heard, 'b');
    heard.align('third', 1);
    expect(heard.first).toBeUndefined();
  });

  it('gives up the oldest when nobody logs them, so that memory stays bounded', () => {
    const heard = new HeardMessages();
    heard.align('line', 1);
    const big = 'x'.repeat(60_000);
    hear(heard, ...Array.from({ length: 200 }, (_, i) => `${i}${big}`));
    const left = kept(heard);
    expect(left.at(-1)!.startsWith('199')).toBe(true);
    expect(left.reduce((bytes, body) => bytes + body.length, 0)).toBeLessThanOrEqual(4 * 1024 * 1024);
  });
});
