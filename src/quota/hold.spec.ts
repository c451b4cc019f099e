import { EventEmitter, on } from 'node:events';
import { Get, Injectable, Module, Res, Sse } from '@nestjs/common';
import type { Response } from 'express';
import { fromEvent, map, type Observable, Subject } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../../test/support/app.js';
import { newProject } from '../../test/support/projects.js';
import { SseClient } from '../../test/support/sse-client.js';
import { until } from '../../test/support/until.js';
import { ProjectContext } from '../project-context/project-context.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Requires } from '../project-context/project.decorators.js';
import { type Hold, metered } from './hold.js';
import { QuotaModule } from './quota.module.js';
import { QuotaService } from './quota.service.js';
import { ReservationService } from './reservation.service.js';

/** A model that answers with `word` events. A letter is a token. */
@Injectable()
class Model extends EventEmitter {}

@ProjectController('answers')
class AnswersController {
  constructor(
    private readonly context: ProjectContext,
    private readonly reservations: ReservationService,
    private readonly model: Model,
  ) {}

  @Sse('sse')
  @Requires('write')
  sse(): Observable<{ data: { word: string } }> {
    const { projectId } = this.context;
    return fromEvent(this.model, 'word').pipe(
      map((word) => ({ data: { word: String(word) } })),
      metered(
        () => this.reservations.hold(projectId, 'tokens', 50, { input: 20 }),
        ({ data }) => data.word.length,
      ),
    );
  }

  @Get('plain')
  @Requires('write')
  async plain(@Res() response: Response): Promise<void> {
    await using hold = await this.reservations.hold(this.context.projectId, 'tokens', 50, { input: 20 });
    response.flushHeaders();
    response.on('close', () => this.model.emit('end'));
    for await (const [word] of on(this.model, 'word', { close: ['end'] })) {
      response.write(word);
      if (!(await hold.use(String(word).length))) break;
    }
  }
}

@Module({ imports: [QuotaModule], controllers: [AnswersController], providers: [Model] })
class AnswersModule {}

describe('a hold', () => {
  let app: TestApp;
  let reservations: ReservationService;
  beforeAll(async () => {
    app = await TestApp.start({
      env: { QUOTAS: JSON.stringify({ tokens: { limits: { month: 100 } } }) },
      extensions: [AnswersModule],
    });
    reservations = app.get(ReservationService);
  });
  afterAll(() => app.close());

  const month = async (projectId: ReturnType<typeof newProject>) => {
    const [window] = (await app.get(QuotaService).get(projectId, 'tokens')).windows;
    return { used: window!.used, held: window!.held };
  };

  it('charges the input and what was delivered, however its block is left', async () => {
    const projectId = newProject();
    const stream = async (): Promise<void> => {
      await using hold = await reservations.hold(projectId, 'tokens', 50, { input: 10, every: 5 });
      await hold.use(7);
      throw new Error('the client went away');
    };
    await expect(stream()).rejects.toThrow('the client went away');
    expect(await month(projectId)).toEqual({ used: 17, held: 0 });

    await (async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 50);
      await hold.use(3);
      await hold.commit(20);
    })();
    expect(await month(projectId)).toEqual({ used: 37, held: 0 });
    await (async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 50, { input: 10 });
      await hold.release();
    })();
    expect(await month(projectId)).toEqual({ used: 37, held: 0 });
  });

  it('says stop when the project has no more, and overshoots by what was used between two reports at most', async () => {
    const projectId = newProject();
    const streams = Array.from({ length: 20 }, async () => {
      await using hold = await reservations.hold(projectId, 'tokens', 0, { every: 2 });
      while (await hold.use(1));
    });
    await Promise.all(streams);
    const { used, held } = await month(projectId);
    expect(held).toBe(0);
    expect(used).toBeGreaterThanOrEqual(100);
    expect(used).toBeLessThanOrEqual(100 + 20 * 2);
  });

  it('meters an observable, and settles when its subscriber leaves', async () => {
    const projectId = newProject();
    const source = new Subject<number>();
    const seen: number[] = [];
    const subscription = source
      .pipe(
        metered(
          () => reservations.hold(projectId, 'tokens', 30, { input: 5, every: 1 }),
          (tokens) => tokens,
        ),
      )
      .subscribe((tokens) => seen.push(tokens));
    await until(() => source.observed, 'the hold is made');
    source.next(4);
    source.next(6);
    await until(() => seen.length === 2, 'the values arrive');
    subscription.unsubscribe();
    await until(async () => (await month(projectId)).held === 0, 'the hold is settled');
    expect(await month(projectId)).toEqual({ used: 15, held: 0 });
  });

  it('is given back when its subscriber leaves before it is made', async () => {
    const projectId = newProject();
    let made: Promise<Hold> | undefined;
    const subscription = new Subject<number>()
      .pipe(
        metered(
          () => (made = reservations.hold(projectId, 'tokens', 30)),
          (tokens) => tokens,
        ),
      )
      .subscribe();
    subscription.unsubscribe();
    await made;
    await until(async () => (await month(projectId)).held === 0, 'the hold is given back');
    expect(await month(projectId)).toEqual({ used: 0, held: 0 });
  });

  it.each(['sse', 'plain'])(
    'of a route (%s) charges the input and the tokens delivered when its client breaks off',
    async (route) => {
      const { projectId, base, token } = await app.caller('editor');
      const project = projectId as ReturnType<typeof newProject>;
      using client = await SseClient.open(`${app.url}${base}/answers/${route}`, { token });
      await until(() => app.get(Model).listenerCount('word') > 0, 'the hold is made');
      for (const word of ['one', 'two', 'three']) {
        app.get(Model).emit('word', word);
        await until(() => client.raw.includes(word), 'the client has it');
      }
      client.cut();
      await until(async () => (await month(project)).held === 0, 'the hold is settled');
      expect(await month(project)).toEqual({ used: 20 + 3 + 3 + 5, held: 0 });
    },
  );
});
