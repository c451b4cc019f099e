import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import type { RedisRole } from './connection-options.js';
import { type CommandHead, commandHead } from './text-command.js';

/** An argument of a script. Numbers are written in decimal; buffers go as they are. */
export type ScriptArg = string | number | Buffer;

/** One value for a plain name, a list for a name that ends in `...`. */
type Values<Names extends readonly string[], One> = {
  readonly [N in Names[number] as N extends `${infer Base}...` ? Base : N]: N extends `${string}...`
    ? readonly One[]
    : One;
};

/** What a script is called with: each key and argument by its name. */
export interface ScriptInput<K extends readonly string[], A extends readonly string[]> {
  readonly keys: Values<K, string>;
  readonly args: Values<A, ScriptArg>;
}

export interface ScriptSpec<K extends readonly string[], A extends readonly string[]> {
  /** `feature.operation`, for errors and metrics. */
  readonly op: string;
  /** The `.lua` file: `new URL('./lua/name.lua', import.meta.url)`, so that it is found in `src` and in `dist`. */
  readonly file: URL;
  readonly role: RedisRole;
  /** Names of `KEYS` in order; a last name that ends in `...` takes the rest. */
  readonly keys: K;
  /** Names of `ARGV` in order, after the `not_after` that every mutating script gets first; `...` as for keys. */
  readonly args: A;
  /** `true` for a script that writes nothing: it gets no `not_after`. */
  readonly readonly?: boolean;
  /** Answers are buffers instead of text: for values that need not be UTF-8. */
  readonly buffers?: boolean;
}

/** A loaded script; made by {@link defineScript}, run by ScriptRunner. */
export interface Script<
  K extends readonly string[] = readonly string[],
  A extends readonly string[] = readonly string[],
> extends ScriptSpec<K, A> {
  readonly source: string;
  readonly sha: string;
  /** `EVALSHA` and the SHA. */
  readonly head: CommandHead;
}

const registry: Script[] = [];

/** All scripts of the loaded modules: for the tests of the laws that hold for each. */
export function allScripts(): readonly Script[] {
  return registry;
}

/** Loads one operation's script, with its includes, when the module is imported: a missing file stops the start. */
export function defineScript<const K extends readonly string[], const A extends readonly string[]>(
  spec: ScriptSpec<K, A>,
): Script<K, A> {
  const source = load(spec.file);
  const sha = createHash('sha1').update(source).digest('hex');
  const script: Script<K, A> = { ...spec, source, sha, head: commandHead('evalsha', sha) };
  registry.push(script as unknown as Script);
  return script;
}

/** Flattens named values into the positions that the script counts. @param flat what they are appended to. */
export function positions(
  names: readonly string[],
  values: Readonly<Record<string, unknown>>,
  flat: ScriptArg[] = [],
): ScriptArg[] {
  const last = names.length - 1;
  for (let i = 0; i < last; i += 1) flat.push(values[names[i]!] as ScriptArg);
  const name = names[last];
  if (name === undefined) return flat;
  if (name.endsWith('...')) flat.push(...(values[name.slice(0, -3)] as ScriptArg[]));
  else flat.push(values[name] as ScriptArg);
  return flat;
}

// `-- @include "name"` is replaced by src/redis/lua/name.lua, `"./name"` by include/name.lua beside the script; an included
// file may include others, counted from the script too.
function load(script: URL, file = script): string {
  return readFileSync(file, 'utf8').replace(
    /^-- @include "(\.\/)?([a-z-]+)"$/gm,
    (_, own: string | undefined, name: string) =>
      load(
        script,
        own ? new URL(`./include/${name}.lua`, script) : new URL(`./lua/${name}.lua`, import.meta.url),
      ).trimEnd(),
  );
}
