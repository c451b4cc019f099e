import { INQUIRER, ModulesContainer, REQUEST } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProjectContext } from '../../src/project-context/project-context.js';
import { TestApp } from '../support/app.js';

/** What is made anew for each request: the context, and what Nest itself hands out. */
const PER_REQUEST = new Set<unknown>([ProjectContext, REQUEST, INQUIRER]);

describe('the scope of providers', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.close());

  // Scope bubbles up: a service that injects ProjectContext is rebuilt for each request and loses its lifecycle hooks.
  it('is the application for everything but ProjectContext and controllers', () => {
    const modules = [...app.nest.get(ModulesContainer).values()];
    const wrappers = modules.flatMap((module) => [...module.providers.values(), ...module.injectables.values()]);
    expect(wrappers.length).toBeGreaterThan(50);
    const perRequest = wrappers.filter((wrapper) => !wrapper.isDependencyTreeStatic() || wrapper.isTransient);
    expect(new Set(perRequest.map(({ token }) => token).filter((token) => !PER_REQUEST.has(token)))).toEqual(new Set());
    expect(perRequest.map(({ token }) => token)).toContain(ProjectContext);
  });

  it('lets controllers inject the context, and only those under a project', () => {
    const controllers = [...app.nest.get(ModulesContainer).values()].flatMap((module) => [
      ...module.controllers.values(),
    ]);
    const perRequest = controllers.filter((wrapper) => !wrapper.isDependencyTreeStatic()).map(({ name }) => name);
    expect(perRequest).toContain('LockController');
    expect(perRequest).not.toContain('HealthController');
    expect(perRequest).not.toContain('MetricsController');
  });
});
