import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { AppModule } from './app.module.js';
import { Closing } from './common/http/closing.js';
import { jsonOnly, missingBodyIsEmpty } from './common/http/json-only.js';
import { jsonShape } from './common/http/json-shape.js';
import { requestId } from './common/http/request-id.js';
import { requestLog } from './common/http/request-log.js';
import { jsonLogger } from './common/json-logger.js';
import type { AppConfig } from './config/app-config.js';
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
    routeConflictPolicy: { duplicate: 'error', shadow: 'off' },
    routeResolutionStrategy: 'specificity',
  });
  app.set('trust proxy', trustProxy(config.TRUST_PROXY));
  app.set('etag', false);
  app.disable('x-powered-by');
  app.use(requestId);
  if (['info', 'debug'].includes(config.LOG_LEVEL)) app.use(requestLog);
  app.use(helmet({ contentSecurityPolicy: false }));
  app.enableCors({
    origin: config.CORS_ORIGINS,
    credentials: true,
    exposedHeaders: ['ETag', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'],
    maxAge: 600,
  });
  app.use(app.get(Closing).refuse, jsonOnly);
  app.useBodyParser('json', {
    limit: config.BODY_LIMIT_BYTES,
    type: ['application/json', 'application/*+json'],
    strict: true,
  });
  app.use(missingBodyIsEmpty, jsonShape);
  if (config.docs) serveDocs(app);
  return app;
}

function trustProxy(value: string): boolean | number | string {
  if (value === 'off') return false;
  if (value === 'on') return true;
  return /^\d+$/.test(value) ? Number(value) : value;
}
