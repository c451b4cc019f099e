import type { ProjectId } from '../../src/common/project-id.js';
import type { Script, ScriptArg } from '../../src/redis/script.js';
import type { TestApp } from './app.js';

/** How to call a script so that it would write: what the tests of the laws that hold for every script start from. */
export interface ScriptExample {
  readonly script: Script;
  /** Names of `KEYS` that are channels: they hold no value. */
  readonly channels?: readonly string[];
  /** Names of `KEYS` where a value of another kind counts as absent (documents, contract section 2). */
  readonly tolerates?: readonly string[];
  /** Brings the project into a state in which the script writes, and says with what it is called. */
  prepare(
    app: TestApp,
    projectId: ProjectId,
  ): Promise<{ keys: Record<string, string | string[]>; args: Record<string, ScriptArg | ScriptArg[]> }>;
}

/** Gives an example the loose type under which all of them are kept. */
export function example<K extends readonly string[], A extends readonly string[]>(
  script: Script<K, A>,
  rest: Omit<ScriptExample, 'script'>,
): ScriptExample {
  return { script: script as unknown as Script, ...rest };
}

/** The bytes of all keys of a project, without their TTLs. */
export async function dump(app: TestApp, projectId: ProjectId): Promise<Record<string, string>> {
  const entries = await Promise.all(
    (await app.keysOf(projectId)).map(async (key) => {
      const bytes = (await app.state.dumpBuffer(key)) ?? (await app.cache.dumpBuffer(key));
      return [key, bytes?.toString('base64') ?? 'gone'] as const;
    }),
  );
  return Object.fromEntries(entries);
}
