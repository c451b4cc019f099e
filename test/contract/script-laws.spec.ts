import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAppError } from '../../src/common/app-error.js';
import { RedisConnections } from '../../src/redis/redis-connections.js';
import { allScripts, positions, type Script } from '../../src/redis/script.js';
import { ScriptRunner } from '../../src/redis/script-runner.js';
import { TestApp } from '../support/app.js';
import { newProject } from '../support/projects.js';
import { dump, type ScriptExample } from '../support/script-example.js';

// One file a feature; each exports `examples`.
const folder = join(import.meta.dirname, 'script-examples');
const files = readdirSync(folder).map((name) => import(join(folder, name)) as Promise<{ examples: ScriptExample[] }>);
const EXAMPLES = (await Promise.all(files)).flatMap(({ examples }) => examples);

/** `-- KEYS[2] fence  …` and `-- KEYS[3..] cells...  …`, in the order of the header. */
function declared(script: Script, what: 'KEYS' | 'ARGV'): string[] {
  const header = readFileSync(script.file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('--'));
  return header.flatMap((line) => {
    const match = new RegExp(`^-- ${what}\\[(\\d+)(?:\\.\\.)?\\] +([a-z_]+(?:\\.\\.\\.)?)(?: |$)`).exec(line);
    return match ? [`${match[1]} ${match[2]}`] : [];
  });
}

describe('the laws of every script', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  it.each(allScripts().map((script) => [script.op, script] as const))(
    '%s: its header names exactly the KEYS and ARGV of its wrapper',
    (_op, script) => {
      const args = script.readonly ? script.args : ['not_after', ...script.args];
      expect(declared(script, 'KEYS')).toEqual(script.keys.map((name, i) => `${i + 1} ${name}`));
      expect(declared(script, 'ARGV')).toEqual(args.map((name, i) => `${i + 1} ${name}`));
      expect(script.source.startsWith('#!lua')).toBe(true);
      expect(script.source).toMatch(/^-- Returns /m);
      expect(script.source).toMatch(/^-- Cost: /m);
      expect(script.source).not.toMatch(/math\.random|cjson\.encode/);
    },
  );

  it('has an example of every script', () => {
    expect(EXAMPLES.map(({ script }) => script.op).sort()).toEqual(
      allScripts()
        .map(({ op }) => op)
        .sort(),
    );
  });

  const mutating = EXAMPLES.filter(({ script }) => !script.readonly);

  it.each(mutating.map((example) => [example.script.op, example] as const))(
    '%s: does nothing once its not-after is past',
    async (_op, example) => {
      const projectId = newProject();
      const input = await example.prepare(app, projectId);
      const before = await dump(app, projectId);
      const { script } = example;
      const keys = positions(script.keys, input.keys) as string[];
      const client = app.get(RedisConnections).command(script.role);
      await expect(
        client.eval(script.source, keys.length, ...keys, 1, ...positions(script.args, input.args)),
      ).rejects.toThrow(/^LATE/);
      expect(await dump(app, projectId)).toEqual(before);
    },
  );

  const cases = mutating.flatMap((example) =>
    example.script.keys
      .filter((name) => !example.channels?.includes(name) && !example.tolerates?.includes(name.replace('...', '')))
      .map((name) => [example.script.op, name, example] as const),
  );

  it.each(cases)('%s: changes nothing when %s holds a value of another kind', async (_op, name, example) => {
    const projectId = newProject();
    const input = await example.prepare(app, projectId);
    const value = input.keys[name.replace('...', '')]!;
    for (const key of [value].flat()) {
      const server = example.script.role === 'cache' ? app.cache : app.state;
      const original = await server.dumpBuffer(key);
      await server.del(key);
      await server.sadd(key, 'no script uses sets');
      const before = await dump(app, projectId);
      const outcome = await app
        .get(ScriptRunner)
        .run(example.script, input as never)
        .then(
          () => 'no error',
          (error: unknown) => (isAppError(error, 'conflict') ? 'conflict' : error),
        );
      expect(outcome, key).toBe('conflict');
      expect(await dump(app, projectId), key).toEqual(before);
      await server.del(key);
      if (original) await server.restore(key, 0, original);
    }
  });
});
