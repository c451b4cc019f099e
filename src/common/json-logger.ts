import { ConsoleLogger, type LogLevel } from '@nestjs/common';

const LEVELS: Record<string, LogLevel[]> = {
  fatal: ['fatal'],
  error: ['fatal', 'error'],
  warn: ['fatal', 'error', 'warn'],
  info: ['fatal', 'error', 'warn', 'log'],
  debug: ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'],
};

// What Nest tells of each module and route at start: a hundred lines in which nobody finds the one that matters.
const CHATTER = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer']);

class JsonLogger extends ConsoleLogger {
  override log(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    if (typeof context === 'string' && CHATTER.has(context)) this.debug(message, ...(rest as [string]));
    else super.log(message, ...(rest as [string]));
  }
}

/** JSON lines on standard output, from `level` (`LOG_LEVEL`) on. */
export function jsonLogger(level: string): ConsoleLogger {
  return new JsonLogger({ json: true, colors: false, logLevels: LEVELS[level] ?? LEVELS['info']! });
}
