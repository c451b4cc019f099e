import 'reflect-metadata';
import KeyvRedis from '@keyv/redis';
import { ThrottlerStorageRedisService } from '@nest-lab/throttler-storage-redis';
import { CACHE_MANAGER, CacheModule } from '@nestjs/cache-manager';
import {
  type ArgumentsHost,
  Body,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Get,
  HttpException,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
  ParseUUIDPipe,
  Put,
  UnauthorizedException,
  ValidationPipe,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import type { Cache } from 'cache-manager';
import { IsInt, IsString, Min } from 'class-validator';
import type { Request, Response } from 'express';
import helmet from 'helmet';
import { Redis } from 'ioredis';
import { jwtVerify } from 'jose';

/*
 * The same job with what a team would pick from the shelf: JWT by jose in a guard, @nestjs/throttler with its Redis storage,
 * @nestjs/cache-manager on @keyv/redis; helmet, validation and an error filter as on our side.
 */

const secret = new TextEncoder().encode(process.env['AUTH_JWT_SECRET']);
const redisUrl = process.env['REDIS_URL']!;

interface ProjectRequest extends Request {
  project?: { projectId: string; userId: string; role: string };
}

@Injectable()
class JwtGuard implements CanActivate {
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<ProjectRequest>();
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!token) throw new UnauthorizedException();
    const { payload } = await jwtVerify(token, secret, { algorithms: ['HS256'] }).catch(() => {
      throw new UnauthorizedException();
    });
    const projectId = String(request.params['project_id']);
    const role = (payload as { projects?: Record<string, string> }).projects?.[projectId];
    if (!role) throw new ForbiddenException();
    request.project = { projectId, userId: payload.sub!, role };
    return true;
  }
}

@Injectable()
class ProjectThrottler extends ThrottlerGuard {
  protected override async getTracker(request: Record<string, unknown>): Promise<string> {
    return (request as unknown as ProjectRequest).project!.projectId;
  }
}

@Catch()
class ErrorFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    const status = error instanceof HttpException ? error.getStatus() : 500;
    response
      .status(status)
      .type('application/problem+json')
      .send(JSON.stringify({ status, title: (error as Error).message }));
  }
}

class DocumentDto {
  @IsString() title!: string;
  @IsString() content!: string;
  @IsInt() @Min(0) version!: number;
}

@Controller('v1/projects/:project_id/documents')
class DocumentController {
  constructor(@Inject(CACHE_MANAGER) private readonly cache: Cache) {}

  @Get(':doc_id')
  async get(@Param('project_id', ParseUUIDPipe) projectId: string, @Param('doc_id') docId: string): Promise<unknown> {
    const document = await this.cache.get(`${projectId}:doc:${docId}`);
    if (!document) throw new NotFoundException();
    return document;
  }

  @Put(':doc_id')
  async put(
    @Param('project_id', ParseUUIDPipe) projectId: string,
    @Param('doc_id') docId: string,
    @Body() body: DocumentDto,
  ): Promise<unknown> {
    const document = { id: docId, ...body };
    await this.cache.set(`${projectId}:doc:${docId}`, document, 3_600_000);
    return document;
  }
}

@Module({
  imports: [
    ThrottlerModule.forRoot({
      throttlers: [{ ttl: 60_000, limit: 1_000_000_000 }],
      storage: new ThrottlerStorageRedisService(new Redis(redisUrl) as never),
    }),
    CacheModule.register({ isGlobal: true, stores: [new KeyvRedis(redisUrl) as never] }),
  ],
  controllers: [DocumentController],
  providers: [
    { provide: APP_GUARD, useClass: JwtGuard },
    { provide: APP_GUARD, useClass: ProjectThrottler },
    { provide: APP_FILTER, useClass: ErrorFilter },
  ],
})
class PeerModule {}

const app = await NestFactory.create<NestExpressApplication>(PeerModule, { logger: ['error'] });
app.use(helmet());
app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true }));
await app.listen(Number(process.env['PORT']), '127.0.0.1');
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
