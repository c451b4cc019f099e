import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { loadConfig } from './config/app-config.js';
import { createDocument } from './openapi-document.js';

// Describes the code, so it needs no Redis: in preview mode Nest reads the decorators and builds nothing.
const config = loadConfig({
  REDIS_URL: 'redis://127.0.0.1:1',
  AUTH_JWT_SECRET: 'only-to-describe-the-routes-0123456789',
});
const app = await NestFactory.create(AppModule.with(config), { preview: true, abortOnError: false, logger: false });
writeFileSync(process.argv[2] ?? 'openapi.json', `${JSON.stringify(createDocument(app), null, 2)}\n`);
process.exit(0);
