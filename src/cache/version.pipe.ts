import { Injectable, type PipeTransform } from '@nestjs/common';
import { invalid } from '../common/validation.js';

const INTEGER = /^(?:0|[1-9]\d{0,15})$/;

/** Validates a version in a path: an integer from 0 to 2^53 - 1, written as JSON would. */
@Injectable()
export class VersionPipe implements PipeTransform<unknown, number> {
  transform(value: unknown): number {
    const version = typeof value === 'string' && INTEGER.test(value) ? Number(value) : NaN;
    if (Number.isSafeInteger(version)) return version;
    throw invalid('http', [{ field: 'version', message: 'must be an integer not less than 0' }]);
  }
}
