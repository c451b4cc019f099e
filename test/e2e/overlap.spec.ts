import { setImmediate as turn } from 'node:timers/promises';
import { Get, Injectable, Module, Param } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { ProjectContext } from '../../src/project-context/project-context.js';
import { ProjectController } from '../../src/project-context/project-controller.decorator.js';
import { Project, Requires } from '../../src/project-context/project.decorators.js';
import type { RequestProject } from '../../src/project-context/request-project.js';
import { KeyBuilder } from '../../src/redis/key-builder.js';
import { RedisGateway } from '../../src/redis/redis-gateway.js';
import { TestApp } from '../support/app.js';

/** A singleton with the project as its first argument, as every service of the product. */
@Injectable()
class NoteService {
  constructor(
    private readonly gateway: RedisGateway,
    private readonly keys: KeyBuilder,
  ) {}

  async write(projectId: ProjectId, name: string, text: string): Promise<string | null> {
    const key = this.keys.key(projectId, 'note', name);
    await this.gateway.call('state', 'note.write', (client) => client.set(key, text, 'EX', 60));
    return this.gateway.call('state', 'note.read', (client) => client.get(key));
  }
}

@ProjectController('notes')
class NoteController {
  constructor(
    private readonly context: ProjectContext,
    private readonly notes: NoteService,
  ) {}

  @Get(':name')
  @Requires('read')
  async read(@Param('name') name: string, @Project() project: RequestProject): Promise<unknown[]> {
    const seen: unknown[] = [project.projectId];
    // Other requests run in between.
    for (let i = 0; i < 5; i += 1) {
      await turn();
      seen.push(this.context.projectId, this.context.principal.userId);
    }
    seen.push(await this.notes.write(this.context.projectId, name, this.context.projectId));
    seen.push(this.context.projectId, project.projectId);
    return seen;
  }
}

@Module({ controllers: [NoteController], providers: [NoteService] })
class NoteModule {}

describe('overlapping requests of two projects', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ extensions: [NoteModule] });
  });
  afterAll(() => app.close());

  it('never see each other, from the guard to Redis', async () => {
    const callers = await Promise.all(
      ['a', 'b'].map(async (user) => ({ user, caller: await app.caller('viewer', undefined, `user-${user}`) })),
    );
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const { user, caller } = callers[i % 2]!;
        const { status, body } = await caller.get(`/notes/note-${i % 4 < 2 ? 1 : 2}`);
        return { status, seen: new Set(body as unknown[]), expected: new Set([caller.projectId, `user-${user}`]) };
      }),
    );
    for (const { status, seen, expected } of answers) {
      expect(status).toBe(200);
      expect(seen).toEqual(expected);
    }
  });
});
