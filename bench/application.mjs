// Our application, built, without its port: what a module of it would call.
import 'reflect-metadata';
import { loadConfig } from '../dist/config/app-config.js';
import { createApp } from '../dist/create-app.js';
import { SECRET } from './secret.mjs';

export async function startApplication(redisUrl, settings = {}) {
  const base = { PORT: '0', NODE_ENV: 'production', LOG_LEVEL: 'warn', AUTH_JWT_SECRET: SECRET, REDIS_URL: redisUrl };
  const env = { ...base, ...settings };
  const app = await createApp(loadConfig(env));
  await app.init();
  return { get: (type) => app.get(type, { strict: false }), stop: () => app.close() };
}
