import { describe, expect, it } from 'vitest';
import { Gathering } from './gathering.js';

function recording(capacity: number) {
  const batches: number[][] = [];
  const gathering = new Gathering<number, string>(
    () => 1 / capacity,
    async (items) => {
      batches.push([...items]);
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => `answer ${item}`);
    },
  );
  return { batches, ask: (group: string, item: number) => gathering.ask(group, item) };
}

describe('calls of one turn', () => {
  it('are answered together, each with its own answer', async () => {
    const { batches, ask } = recording(4);
    expect(await Promise.all([1, 2, 3].map((item) => ask('a', item)))).toEqual(['answer 1', 'answer 2', 'answer 3']);
    expect(batches).toEqual([[1, 2, 3]]);
  });

  it('are handed over together at the end of the turn', async () => {
    const events: string[] = [];
    const gathering = new Gathering<number, number>(
      () => 1 / 2,
      async (items) => {
        events.push(items.join('+'));
        return items;
      },
      () => events.push('go'),
    );
    await Promise.all([1, 2, 3].map((item) => gathering.ask(`${item % 2}`, item)).concat(gathering.ask('other', 4)));
    expect(events).toEqual(['1+3', 'go', '2', '4', 'go']);
  });

  it('stay in their groups and in their order, and a full batch goes at once', async () => {
    const { batches, ask } = recording(2);
    const asked = [ask('a', 1), ask('b', 2), ask('a', 3)];
    expect(batches).toEqual([[1, 3]]);
    await Promise.all([...asked, ask('a', 4), ask('b', 5)]);
    expect(batches).toEqual([[1, 3], [2, 5], [4]]);
  });

  it('share a failure only with their batch', async () => {
    const { ask } = recording(2);
    const outcomes = await Promise.allSettled([12, 13, 14].map((item) => ask('a', item)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });

  it('of a later turn are a batch of their own', async () => {
    const { batches, ask } = recording(4);
    await ask('a', 1);
    await ask('a', 2);
    expect(batches).toEqual([[1], [2]]);
  });
});
