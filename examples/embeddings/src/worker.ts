import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from '../../../dist/app.module.js';
import { jsonLogger } from '../../../dist/common/json-logger.js';
import { loadConfig } from '../../../dist/config/app-config.js';
import { EmbeddingsModule } from './embeddings.module.js';

/**
 * The whole application with one module more and no HTTP in front: the second process. It ends by SIGTERM or SIGINT, after
 * the jobs in hand; what a worker that is killed had leased comes back when the leases end.
 *
 * @param env settings, as the API has them.
 * @throws ConfigError, RedisStartError: one line for the operator.
 */
export async function startWorker(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const config = loadConfig(env);
  const app = await NestFactory.createApplicationContext(AppModule.with(config, [EmbeddingsModule]), {
    abortOnError: false,
    logger: jsonLogger(config.LOG_LEVEL),
  });
  const stop = (): void => {
    void app.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
