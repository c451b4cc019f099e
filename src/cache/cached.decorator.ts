import { Inject } from '@nestjs/common';
import { parseProjectId, type ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { CacheService } from './cache.service.js';
import type { EntryType, LoadPolicy } from './entry/entry-type.js';

const CACHE = Symbol('cache of @Cached()');

/** A project, as a service gets it, or within what `@Project()` gives a route. */
type OfProject = ProjectId | { readonly projectId: ProjectId };

/** A method whose results can be cached: its first argument says whose they are. */
type CachedMethod<T> = (project: never, ...rest: never[]) => Promise<T>;

export interface CachedOptions extends Partial<LoadPolicy> {
  /**
   * @returns the entry's id, a name, from the arguments after the project. Default: a hash of them as JSON, which fits
   * arguments that are plain data.
   */
  readonly id?: (...rest: never[]) => string;
}

/**
 * Answers a method, or a route, of any module out of the project's cache; its body is the loader. The first argument is the
 * `ProjectId` (in a controller `@Project()`): what one project loaded, no other is shown. Guards run before it as ever.
 * The module of the class imports CacheModule.
 */
export function Cached<T extends object>(type: EntryType<T>, { id, ...policy }: CachedOptions = {}) {
  const idOf = id as ((...rest: unknown[]) => string) | undefined;
  return <M extends CachedMethod<T>>(target: object, name: string, descriptor: TypedPropertyDescriptor<M>): void => {
    const method = descriptor.value as unknown as (...args: unknown[]) => Promise<T>;
    Inject(CacheService)(target, CACHE);
    async function cached(this: Record<symbol, unknown>, ...args: unknown[]): Promise<T> {
      const [first, ...rest] = args as [OfProject | undefined, ...unknown[]];
      const projectId = parseProjectId(typeof first === 'object' ? first.projectId : first);
      const entry = type.of(idOf ? idOf(...rest) : sha256(JSON.stringify([name, ...rest])));
      return (this[CACHE] as CacheService).getOrLoad(projectId, entry, () => method.apply(this, args), policy);
    }
    // What other decorators have noted of the method (its route, its roles) belongs to what takes its place.
    for (const key of Reflect.getMetadataKeys(method)) {
      Reflect.defineMetadata(key, Reflect.getMetadata(key, method), cached);
    }
    Object.defineProperty(cached, 'name', { value: name });
    descriptor.value = cached as unknown as M;
  };
}
