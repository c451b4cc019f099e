import { describe, expect, it } from 'vitest';
import { newProject } from '../../../test/support/projects.js';
import { DirectLoads } from './direct-loads.js';

describe('loads beside the cache', () => {
  it('are shared by those who ask at once, and not by who asks after one has begun', async () => {
    const loads = new DirectLoads();
    const projectId = newProject();
    let source = 1;
    let begun = 0;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const ask = (): Promise<number> =>
      loads.share(projectId, 'a', async () => {
        const value = source;
        begun += 1;
        await gate;
        return value;
      });
    const first = [ask(), ask()];
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toBe(1);
    source = 2;
    const second = ask();
    open();
    expect(await Promise.all([...first, second])).toEqual([1, 1, 2]);
    expect(begun).toBe(2);
  });
});
