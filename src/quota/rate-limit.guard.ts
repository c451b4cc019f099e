import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Response } from 'express';
import type { ProjectRequest } from '../project-context/request-project.js';
import { refusal } from './quota.errors.js';
import { sum } from './quota.items.js';
import { QuotaService } from './quota.service.js';
import type { RateItem } from './quota.state.js';
import { RATE_LIMIT_EXEMPT, RATE_LIMITS, type RouteLimit } from './rate-limit.decorators.js';
import { addRateLimit } from './rate-limit.headers.js';
import { retryOf } from './refusal.memory.js';

const API: RateItem = { action: 'api', cost: 1 };

/**
 * The rate limits before the routes: `api` of the project, and what the route itself declares; one script for both.
 * It stands behind ProjectGuard and before validation, so it sees neither strangers nor bodies.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  // Routes do not change: their metadata is read once.
  readonly #routes = new WeakMap<object, WeakMap<object, readonly RateItem[]>>();

  constructor(
    private readonly reflector: Reflector,
    private readonly quotas: QuotaService,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const http = context.switchToHttp();
    const { project } = http.getRequest<ProjectRequest>();
    const rules = this.#rulesOf(context);
    // A route outside of every project has nothing to be limited by.
    if (project === undefined || rules.length === 0) return true;
    const { projectId, principal } = project;
    return this.quotas.hit(projectId, rules, { user: principal.userId }).then((verdict) => {
      if (!verdict) return true;
      const response = http.getResponse<Response>();
      for (const { item, state } of verdict.items) addRateLimit(response, (item as RateItem).action, state);
      if (verdict.allowed) return true;
      throw refusal(
        'rate-limit',
        verdict.items.filter(({ state }) => retryOf(state) > 0),
      );
    });
  }

  #rulesOf(context: ExecutionContext): readonly RateItem[] {
    const controller = context.getClass();
    const handler = context.getHandler();
    let routes = this.#routes.get(controller);
    if (!routes) this.#routes.set(controller, (routes = new WeakMap()));
    let rules = routes.get(handler);
    if (!rules) routes.set(handler, (rules = this.#declared([handler, controller])));
    return rules;
  }

  #declared(targets: Parameters<Reflector['getAllAndOverride']>[1]): readonly RateItem[] {
    const own = this.reflector.getAllAndOverride<RouteLimit | undefined>(RATE_LIMITS, targets);
    const exempt = this.reflector.getAllAndOverride<boolean | undefined>(RATE_LIMIT_EXEMPT, targets);
    const rules = [...(exempt ? [] : [API]), ...(own ? [own] : [])];
    // `@RateLimit('api', { cost: 5 })` costs that beside the one that each route costs.
    return [...sum(rules).values()] as RateItem[];
  }
}
