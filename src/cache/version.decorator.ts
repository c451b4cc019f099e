import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { invalid } from '../common/validation.js';

const INTEGER = /^(?:0|[1-9]\d{0,15})$/;

/**
 * The version in the path: an integer from 0 to 2^53 - 1, written as JSON would. No pipe, because the global one turns the
 * text into a number first, and then `01` and `1e3` look like versions.
 */
export const Version = createParamDecorator((_data: unknown, context: ExecutionContext): number => {
  const text = context.switchToHttp().getRequest<Request>().params['version'];
  const version = typeof text === 'string' && INTEGER.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(version)) return version;
  throw invalid('http', [{ field: 'version', message: 'must be an integer not less than 0' }]);
});
