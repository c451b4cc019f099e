import { timingSafeEqual } from 'node:crypto';
import { Controller, Get, Header, Headers } from '@nestjs/common';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import { AppError } from '../common/app-error.js';
import { ApiProblems } from '../common/http/api-problems.js';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { sha256 } from '../common/tokens.js';
import { AppConfig } from '../config/app-config.js';
import { Public } from '../project-context/project.decorators.js';

@ApiTags('health')
@Public()
@Controller('metrics')
export class MetricsController {
  readonly #expected: Buffer | undefined;

  constructor(
    private readonly metrics: MetricsRegistry,
    config: AppConfig,
  ) {
    this.#expected = config.METRICS_TOKEN === undefined ? undefined : digest(`Bearer ${config.METRICS_TOKEN}`);
  }

  /** The process's metrics in Prometheus's text format. With `METRICS_TOKEN` only for its bearer. */
  @Get()
  @Header('Cache-Control', 'no-store')
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiProduces('text/plain')
  @ApiProblems('unauthenticated')
  read(@Headers('authorization') authorization = ''): Promise<string> {
    // Digests have one length, and comparing them takes one time, however much of the token was guessed.
    if (this.#expected && !timingSafeEqual(this.#expected, digest(authorization))) {
      throw new AppError('unauthenticated', 'metrics', 'The metrics are for the bearer of their token.');
    }
    return this.metrics.registry.metrics();
  }
}

function digest(text: string): Buffer {
  return Buffer.from(sha256(text));
}
