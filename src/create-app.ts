import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { chain } from './common/http/chain.js';
import { jsonBody } from './common/http/json-body.js';
import { refuseWhileStopping } from './common/http/refuse-while-stopping.js';
import { requestId } from './common/http/request-id.js';
import { requestLog } from './common/http/request-log.js';
import { securityHeaders } from './common/http/security-headers.js';
import { jsonLogger } from './common/json-logger.js';
import { Stopping } from './common/stopping.js';
import { MetricsRegistry } from './common/metrics-registry.js';
import type { AppConfig } from './config/app-config.js';
import { httpMetrics } from './monitoring/http-metrics.js';
import { serveDocs } from './openapi-document.js';

/** Builds the application with everything that stands before the routes; `main.ts` and the tests start the same one. */
export async function createApp(
  config: AppConfig,
  extensions: readonly NonNullable<DynamicModule['imports']>[number][] = [],
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config, extensions), {
    bodyParser: false,
    abortOnError: false,
    logger: jsonLogger(config.LOG_LEVEL),
    // A start that fails is told in one line, by main.ts; Nest would tell it before, with a stack.
    bufferLogs: true,
    autoFlushLogs: false,
    routeConflictPolicy: { duplicate: 'error', shadow: 'off' },
  });
  // Longer than a proxy keeps an idle connection (nginx: 60 s), or its next request meets one that is just being closed: 502.
  Object.assign(app.getHttpServer(), { keepAliveTimeout: 65_000, headersTimeout: 66_000 });
  const stopping = app.get(Stopping);
  // Nest calls this one before any other shutdown hook.
  app.getHttpAdapter().beforeClose = () => {
    stopping.begin();
    // A connection whose last answer is still to come shall not stay open behind it.
    app.getHttpServer().keepAliveTimeout = 1;
  };
  app.set('trust proxy', trustProxy(config.TRUST_PROXY));
  app.set('etag', false);
  app.disable('x-powered-by');
  app.use(
    chain(
      requestId,
      httpMetrics(app.get(MetricsRegistry)),
      ...(['info', 'debug'].includes(config.LOG_LEVEL) ? [requestLog] : []),
      securityHeaders(),
    ),
  );
  if (config.CORS_ORIGINS.length > 0) {
    app.enableCors({
      origin: config.CORS_ORIGINS,
      credentials: true,
      exposedHeaders: ['ETag', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'],
      maxAge: 600,
    });
  }
  app.use(chain(refuseWhileStopping(stopping), jsonBody(config.BODY_LIMIT_BYTES)));
  if (config.docs) serveDocs(app);
  app.flushLogs();
  return app;
}

function trustProxy(value: string): boolean | number | string {
  if (value === 'off') return false;
  if (value === 'on') return true;
  return /^\d+$/.test(value) ? Number(value) : value;
}
