import 'reflect-metadata';
import {
  Body,
  type CanActivate,
  Controller,
  type ExecutionContext,
  ForbiddenException,
  HttpCode,
  Injectable,
  type MessageEvent,
  Module,
  Param,
  ParseUUIDPipe,
  Post,
  Sse,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Request } from 'express';
import { Redis } from 'ioredis';
import { jwtVerify } from 'jose';
import { finalize, type Observable, Subject } from 'rxjs';

/*
 * The same job with Nest's own means: a guard with jose, `@Sse`, and Redis pub/sub with one subscriber connection. No log, no
 * replay, no order across a lost connection.
 */

const secret = new TextEncoder().encode(process.env['AUTH_JWT_SECRET']);
const redisUrl = process.env['REDIS_URL']!;

@Injectable()
class JwtGuard implements CanActivate {
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!token) throw new UnauthorizedException();
    const { payload } = await jwtVerify(token, secret, { algorithms: ['HS256'] }).catch(() => {
      throw new UnauthorizedException();
    });
    const role = (payload as { projects?: Record<string, string> }).projects?.[String(request.params['project_id'])];
    if (!role) throw new ForbiddenException();
    return true;
  }
}

@Injectable()
class Hub {
  readonly #publisher = new Redis(redisUrl);
  readonly #subscriber = new Redis(redisUrl);
  readonly #channels = new Map<string, { events: Subject<MessageEvent>; readers: number }>();

  constructor() {
    this.#subscriber.on('message', (channel: string, message: string) => {
      const { id, ...data } = JSON.parse(message) as { id: string };
      this.#channels.get(channel)?.events.next({ id, data });
    });
  }

  async publish(projectId: string, event: object): Promise<void> {
    const id = await this.#publisher.incr(`proj:${projectId}:bench:seq`);
    await this.#publisher.publish(`proj:${projectId}:bench`, JSON.stringify({ ...event, id: String(id) }));
  }

  follow(projectId: string): Observable<MessageEvent> {
    const name = `proj:${projectId}:bench`;
    let channel = this.#channels.get(name);
    if (!channel) {
      this.#channels.set(name, (channel = { events: new Subject(), readers: 0 }));
      void this.#subscriber.subscribe(name);
    }
    const found = channel;
    found.readers += 1;
    return found.events.pipe(
      finalize(() => {
        found.readers -= 1;
        if (found.readers > 0) return;
        this.#channels.delete(name);
        void this.#subscriber.unsubscribe(name);
      }),
    );
  }
}

@Controller('v1/projects/:project_id/progress')
@UseGuards(JwtGuard)
class ProgressController {
  constructor(private readonly hub: Hub) {}

  @Post()
  @HttpCode(202)
  publish(@Param('project_id', ParseUUIDPipe) projectId: string, @Body() event: object): Promise<void> {
    return this.hub.publish(projectId, event);
  }

  @Sse()
  stream(@Param('project_id', ParseUUIDPipe) projectId: string): Observable<MessageEvent> {
    return this.hub.follow(projectId);
  }
}

@Module({ controllers: [ProgressController], providers: [Hub] })
class PeerModule {}

const app = await NestFactory.create<NestExpressApplication>(PeerModule, { logger: ['error'] });
await app.listen(Number(process.env['PORT']), '127.0.0.1');
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
