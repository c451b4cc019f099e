import 'reflect-metadata';
import { ThrottlerStorageRedisService } from '@nest-lab/throttler-storage-redis';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  ForbiddenException,
  Get,
  Injectable,
  Module,
  UnauthorizedException,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import type { Request } from 'express';
import helmet from 'helmet';
import { Redis } from 'ioredis';
import { jwtVerify } from 'jose';

/* The same route as a team would build it from the shelf: JWT by jose, @nestjs/throttler with three throttlers in Redis. */

const LIMIT = 1_000_000_000;
const secret = new TextEncoder().encode(process.env['AUTH_JWT_SECRET']);

@Injectable()
class JwtGuard implements CanActivate {
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request & { projectId?: string }>();
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!token) throw new UnauthorizedException();
    const { payload } = await jwtVerify(token, secret, { algorithms: ['HS256'] }).catch(() => {
      throw new UnauthorizedException();
    });
    const projectId = String(request.params['project_id']);
    if (!(payload as { projects?: Record<string, string> }).projects?.[projectId]) throw new ForbiddenException();
    request.projectId = projectId;
    return true;
  }
}

@Injectable()
class ProjectThrottler extends ThrottlerGuard {
  protected override async getTracker(request: Record<string, unknown>): Promise<string> {
    return String(request['projectId']);
  }
}

@Controller('v1/projects/:project_id/limited')
class LimitedController {
  @Get()
  get(): object {
    return {};
  }
}

@Module({
  imports: [
    ThrottlerModule.forRoot({
      throttlers: [
        { name: 'api', ttl: 60_000, limit: LIMIT },
        { name: 'second', ttl: 1000, limit: LIMIT },
        { name: 'hour', ttl: 3_600_000, limit: LIMIT },
      ],
      storage: new ThrottlerStorageRedisService(new Redis(process.env['REDIS_URL']!) as never),
    }),
  ],
  controllers: [LimitedController],
  providers: [
    { provide: APP_GUARD, useClass: JwtGuard },
    { provide: APP_GUARD, useClass: ProjectThrottler },
  ],
})
class PeerModule {}

const app = await NestFactory.create<NestExpressApplication>(PeerModule, { logger: ['error'] });
app.use(helmet());
await app.listen(Number(process.env['PORT']), '127.0.0.1');
process.send?.('ready');
process.on('message', () => process.send?.(process.cpuUsage()));
process.on('SIGTERM', () => process.exit(0));
