import { Controller, Get, Header, Res } from '@nestjs/common';
import { ApiResponse, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { Public } from '../project-context/project.decorators.js';
import { LivenessDto, ReadinessDto, RedisRoleHealthDto } from './dto/health.dto.js';
import { Readiness, type RoleHealth } from './readiness.js';

@ApiTags('health')
@Public()
@Controller('health')
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  /** Whether the process runs: restart it when this does not answer. Redis plays no part. */
  @Get('live')
  @Header('Cache-Control', 'no-store')
  live(): LivenessDto {
    return { status: 'ok' };
  }

  /** Whether the process can serve, told within 100 ms: send it no requests while this is not 200. */
  @Get('ready')
  @Header('Cache-Control', 'no-store')
  @ApiResponse({ status: 503, type: ReadinessDto, description: 'The state server is away, or the process stops.' })
  async ready(@Res({ passthrough: true }) response: Response): Promise<ReadinessDto> {
    const { status, reason, state, cache, subscriber } = await this.readiness.report();
    response.status(status === 'down' ? 503 : 200);
    return {
      status,
      ...(reason === undefined ? {} : { reason }),
      redis: { state: toDto(state), cache: toDto(cache), subscriber: toDto(subscriber) },
    };
  }
}

function toDto({ status, reason, facts }: RoleHealth): RedisRoleHealthDto {
  return {
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(facts === undefined
      ? {}
      : {
          version: facts.version,
          eviction_policy: facts.evictionPolicy,
          persistence: { aof: facts.aof, healthy: facts.persisting },
        }),
  };
}
