import type { ProjectId } from '../../common/project-id.js';
import { isName } from '../../common/names.js';
import { type CacheKeys, DOCUMENT_TYPE } from '../cache.keys.js';

/** How long values are kept, and what a load may take. An entry type states it; a call may differ. */
export interface LoadPolicy {
  /** How long a value is fresh, in ms (1 to a year). Spread by ±5 %, so that what was loaded together does not expire together. */
  readonly ttlMs: number;
  /** How long beyond that a stale value may be served when its loader fails or is slow, in ms. Default 0. */
  readonly graceMs?: number;
  /** After so many ms of loading a caller gets the stale value, if there is one; the load goes on. Default: it waits. */
  readonly softTimeoutMs?: number;
  /** After so many ms a load has failed; its value is dropped. Default 10,000. */
  readonly hardTimeoutMs?: number;
}

export interface EntryTypeOptions<T extends object> extends LoadPolicy {
  /** Names the type in keys, once in the application. */
  readonly name: string;
  /** What class-validator checks when bytes come back that this cache did not write itself. */
  readonly type: new () => T;
  /** Grows when values of older releases must be checked anew. Default 1. */
  readonly schema?: number;
  /** Values are stored as gzip from so many bytes on, where that is smaller. Default 2048; `Infinity` for plain JSON always. */
  readonly compressFrom?: number;
  /** Only these fields are stored and read, in this order. Default: all that the loader gives. */
  readonly fields?: readonly (keyof T & string)[];
  /** What a value must fulfil beyond its class, for instance that it is the one of this id. */
  readonly accepts?: (value: T, id: string) => boolean;
  /**
   * Whether values may be kept in the process too, where the setting `CACHE_L1` is on. They are frozen then, whatever the
   * setting: the same one is given to every reader. Default false.
   */
  readonly l1?: boolean;
  /** How early a value may be loaded again before it expires (XFetch's beta): 0 never, 1 by default, more is earlier. */
  readonly earlyRefresh?: number;
}

const YEAR_MS = 31_536_000_000;
const JITTER = 0.05;
const DEFAULTS = { graceMs: 0, softTimeoutMs: Infinity, hardTimeoutMs: 10_000 };

/** A kind of cached value: its class, its lifetime, how it is loaded. */
export class EntryType<T extends object> {
  readonly name: string;
  readonly type: new () => T;
  readonly schema: number;
  readonly compressFrom: number;
  readonly earlyRefresh: number;
  readonly l1: boolean;
  readonly #accepts: ((value: T, id: string) => boolean) | undefined;
  readonly #fields: readonly (keyof T & string)[] | undefined;
  readonly #policy: Required<LoadPolicy>;

  constructor(options: EntryTypeOptions<T>) {
    if (!isName(options.name)) throw new TypeError('an entry type needs a name');
    this.name = options.name;
    this.type = options.type;
    this.schema = options.schema ?? 1;
    this.compressFrom = options.compressFrom ?? 2048;
    this.earlyRefresh = options.earlyRefresh ?? 1;
    this.l1 = options.l1 ?? false;
    this.#accepts = options.accepts;
    this.#fields = options.fields;
    this.#policy = valid({ ...DEFAULTS, ...options });
  }

  /** One value of the type. @param id a name: 1 to 128 characters of `A-Z a-z 0-9 . _ -`. */
  of(id: string): Entry<T> {
    return { type: this, id };
  }

  /** @returns whether the value, valid by its class, may stand under this id. */
  accepts(value: T, id: string): boolean {
    return this.#accepts === undefined || this.#accepts(value, id);
  }

  /** @returns the value with the fields that count. */
  pick<V>(plain: V): V {
    if (!this.#fields || typeof plain !== 'object' || plain === null) return plain;
    return Object.fromEntries(this.#fields.map((field) => [field, (plain as Record<string, unknown>)[field]])) as V;
  }

  /** @throws TypeError for a TTL or a time-out that is none: nothing is cached for ever by mistake. */
  policy(overrides?: Partial<LoadPolicy>): Required<LoadPolicy> {
    return overrides === undefined ? this.#policy : valid({ ...this.#policy, ...overrides });
  }
}

/** One cached value of a project, by type and id. */
export interface Entry<T extends object> {
  readonly type: EntryType<T>;
  readonly id: string;
}

/** What names a cached value in a project. */
export interface EntryName {
  readonly type: { readonly name: string };
  readonly id: string;
}

/** @returns the key of the value: for documents the one that other programs know. */
export function entryKey(keys: CacheKeys, projectId: ProjectId, { type, id }: EntryName): string {
  return type.name === DOCUMENT_TYPE ? keys.doc(projectId, id) : keys.entry(projectId, type.name, id);
}

/** @returns a TTL near this one, in whole ms. */
export function jittered(ttlMs: number): number {
  return Math.max(1, Math.round(ttlMs * (1 - JITTER + 2 * JITTER * Math.random())));
}

function valid(policy: Required<LoadPolicy>): Required<LoadPolicy> {
  requireMs('ttlMs', policy.ttlMs, 1, YEAR_MS);
  requireMs('graceMs', policy.graceMs, 0, YEAR_MS);
  requireMs('hardTimeoutMs', policy.hardTimeoutMs, 1, 600_000);
  if (policy.softTimeoutMs !== Infinity) requireMs('softTimeoutMs', policy.softTimeoutMs, 0, 600_000);
  return policy;
}

function requireMs(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return;
  throw new TypeError(`${name} must be an integer from ${min} to ${max}`);
}
