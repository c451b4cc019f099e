import { Injectable, type OnApplicationBootstrap, RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core';
import { ACCESS, PUBLIC } from './project.decorators.js';

/** Base of all routes of a project. */
export const PROJECT_BASE = 'v1/projects/:project_id';

/** One HTTP route as its decorators declare it. */
export interface DeclaredRoute {
  readonly controller: string;
  readonly handler: string;
  /** `GET`, `PUT`, … */
  readonly method: string;
  readonly path: string;
  readonly public: boolean;
  readonly access: string | undefined;
}

/**
 * Stops the application at start when a route is neither under `projects/:project_id` with a declared access, nor marked
 * `@Public()`, or is both, or is never reached because one that stands before it takes all its requests. A module that
 * somebody adds cannot open a hole by forgetting a decorator.
 */
@Injectable()
export class RouteAudit implements OnApplicationBootstrap {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly reflector: Reflector,
  ) {}

  onApplicationBootstrap(): void {
    const routes = this.routes();
    for (const [i, route] of routes.entries()) {
      const name = nameOf(route);
      const inProject = `${route.path}/`.startsWith(`${PROJECT_BASE}/`);
      if (route.public === inProject)
        throw new Error(`${name}: a route must either stand under ${PROJECT_BASE} or be @Public().`);
      const before = routes.slice(0, i).find((earlier) => hides(earlier, route));
      if (before)
        throw new Error(`${name}: never reached, ${nameOf(before)} takes its requests; declare it before that.`);
      if (route.public) continue;
      if (route.access === undefined)
        throw new Error(`${name}: a route must say who may use it: @Requires('read' | 'write' | …).`);
    }
  }

  /** All routes of the application's controllers. */
  routes(): DeclaredRoute[] {
    const scanner = new MetadataScanner();
    return this.discovery.getControllers().flatMap(({ metatype }) => {
      if (!metatype || typeof metatype !== 'function') return [];
      const prototype = metatype.prototype as Record<string, unknown>;
      return scanner.getAllMethodNames(prototype).flatMap((handler) => {
        const method = prototype[handler] as () => unknown;
        if (Reflect.getMetadata(METHOD_METADATA, method) === undefined) return [];
        const bases = [Reflect.getMetadata(PATH_METADATA, metatype) as string | string[]].flat();
        const paths = [Reflect.getMetadata(PATH_METADATA, method) as string | string[]].flat();
        const targets = [method, metatype];
        return bases.flatMap((base) =>
          paths.map((path) => ({
            controller: metatype.name,
            handler,
            method: RequestMethod[Reflect.getMetadata(METHOD_METADATA, method) as RequestMethod],
            path: `${base}/${path}`.replace(/\/+/g, '/').replace(/^\/|\/$/g, ''),
            public: this.reflector.getAllAndOverride<boolean>(PUBLIC, targets) === true,
            access: this.reflector.getAllAndOverride<string | undefined>(ACCESS, targets),
          })),
        );
      });
    });
  }
}

function nameOf({ controller, handler }: DeclaredRoute): string {
  return `${controller}.${handler}`;
}

// Routes stand in the order of their declaration: the hot ones of the first modules are then found first.
function hides(earlier: DeclaredRoute, later: DeclaredRoute): boolean {
  const [own, other] = [earlier.path.split('/'), later.path.split('/')];
  return (
    earlier.method === later.method &&
    own.length === other.length &&
    own.every((segment, i) => segment.startsWith(':') || segment === other[i])
  );
}
