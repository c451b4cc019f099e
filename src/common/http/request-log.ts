import { Logger } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { monotonicMs } from '../time.js';

const log = new Logger('Request');

/** One line per answered request, when it is over. Query strings are left out: they may hold a ticket. */
export function requestLog(
  request: Request & { id?: string; project?: { projectId: string } },
  response: Response,
  next: NextFunction,
): void {
  const start = monotonicMs();
  response.once('close', () => {
    log.log({
      msg: 'request',
      request_id: request.id,
      method: request.method,
      path: request.originalUrl.split('?', 1)[0],
      status: response.statusCode,
      ms: Math.round((monotonicMs() - start) * 10) / 10,
      ...(request.project ? { project_id: request.project.projectId } : {}),
      ...(response.writableFinished ? {} : { aborted: true }),
    });
  });
  next();
}
