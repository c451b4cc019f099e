import { describe, expect, it } from 'vitest';
import { Gathering } from './gathering.js';

/** Answers a batch when it is told to. */
function gatheringOf(capacity: number) {
  const batches: number[][] = [];
  const events: string[] = [];
  const open: (() => void)[] = [];
  const gathering = new Gathering<number, string>(
    () => 1 / capacity,
    async (items) => {
      batches.push([...items]);
      events.push(items.join('+'));
      await new Promise<void>((resolve) => open.push(resolve));
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => `answer ${item}`);
    },
    () => events.push('go'),
  );
  return {
    batches,
    events,
    ask: (item: number, group = 'a') => gathering.ask(group, item),
    answer: () => open.splice(0).forEach((resolve) => resolve()),
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('calls of one turn', () => {
  it('wait for nothing when they are alone', async () => {
    const { batches, ask, answer } = gatheringOf(8);
    const first = ask(1);
    expect(batches).toEqual([[1]]);
    answer();
    expect(await first).toBe('answer 1');
    const second = ask(2);
    expect(batches).toEqual([[1], [2]]);
    answer();
    expect(await second).toBe('answer 2');
  });

  it('are answered together once they are half of what is unanswered, each with its own answer', async () => {
    const { batches, ask, answer } = gatheringOf(8);
    const asked = Array.from({ length: 16 }, (_, i) => ask(i));
    expect(batches).toEqual([[0], [1], [2, 3], [4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]]);
    answer();
    const outcomes = await Promise.allSettled(asked);
    expect(outcomes.slice(0, 8)).toEqual(
      Array.from({ length: 8 }, (_, i) => ({ status: 'fulfilled', value: `answer ${i}` })),
    );
    // A failure is shared only with the batch.
    expect(outcomes.slice(8).every(({ status }) => status === 'rejected')).toBe(true);
  });

  it('wait no longer than to the end of the turn', async () => {
    const { batches, ask, answer } = gatheringOf(8);
    const asked = [1, 2, 3, 4, 5].map((item) => ask(item));
    expect(batches).toEqual([[1], [2], [3, 4]]);
    await turn();
    expect(batches.at(-1)).toEqual([5]);
    answer();
    await Promise.all(asked);
  });

  it('stay in their groups and in their order, and a full batch goes at once', async () => {
    const { batches, ask, answer } = gatheringOf(2);
    const asked = [1, 2, 3, 4, 5, 6, 7, 8].map((item) => ask(item, item % 2 ? 'odd' : 'even'));
    expect(batches).toEqual([[1], [2], [3], [4], [5, 7], [6, 8]]);
    asked.push(ask(9, 'odd'), ask(10, 'odd'), ask(11, 'odd'));
    expect(batches.at(-1)).toEqual([9, 10]);
    answer();
    await turn();
    answer();
    await Promise.all(asked);
    expect(batches.at(-1)).toEqual([11]);
  });

  it('are announced when they are several', async () => {
    const { events, ask, answer } = gatheringOf(8);
    const asked = [1, 2, 3, 4].map((item) => ask(item));
    expect(events).toEqual(['1', '2', '3+4', 'go']);
    answer();
    await Promise.all(asked);
  });
});
