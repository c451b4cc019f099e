import 'reflect-metadata';
import type { Server } from 'node:http';
import { Logger } from '@nestjs/common';
import { ConfigError, loadConfig } from './config/app-config.js';
import { createApp } from './create-app.js';
import { RedisStartError } from './redis/redis-connections.js';

const GRACE_MS = 6000;
const SHUTDOWN_LIMIT_MS = 9500;

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const app = await createApp(config);
  // Nest tells of a port in use, too, with a stack.
  Logger.attachBuffer();
  await app.listen(config.PORT, config.HOST);
  Logger.flush();
  const log = new Logger('Main');
  log.log({ msg: 'listening', url: await app.getUrl() });

  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log.log({ msg: 'stopping', signal });
    // Requests may finish; then what still hangs on, such as a connection that never sends its request, is cut. The process
    // is gone within 10 s, whatever a client or Redis does.
    setTimeout(() => (app.getHttpServer() as Server).closeAllConnections(), GRACE_MS).unref();
    setTimeout(() => process.exit(1), SHUTDOWN_LIMIT_MS).unref();
    void app.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

main().catch((error: unknown) => {
  process.stderr.write(`${startError(error)}\n`);
  process.exit(1);
});

// What an operator can mend is one line; anything else is a bug and shows its stack.
function startError(error: unknown): string {
  if (error instanceof ConfigError || error instanceof RedisStartError) return error.message;
  const { code, port } = error as { code?: string; port?: number };
  if (code === 'EADDRINUSE') return `PORT: ${port} is already in use.`;
  if (code === 'EACCES') return `PORT: ${port} may not be used by this user.`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
