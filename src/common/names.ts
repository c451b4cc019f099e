import { type PipeTransform, Injectable, type ArgumentMetadata } from '@nestjs/common';
import { Matches, type ValidationOptions } from 'class-validator';
import { AppError } from './app-error.js';

/** What a document, action, resource, queue, lock, operation, job or session may be called. */
export const NAME_PATTERN = /^[A-Za-z0-9._-]{1,128}$/;
const RULE = 'must be 1 to 128 characters of A-Z a-z 0-9 . _ -';

/** @returns whether `value` may stand in a key as one segment. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME_PATTERN.test(value);
}

/** Validates a DTO field as a name of contract section 2. */
export function IsName(options: ValidationOptions = {}): PropertyDecorator {
  return Matches(NAME_PATTERN, { message: `$property ${RULE}`, ...options });
}

/** Validates a path parameter as a name; never escapes or cuts it. */
@Injectable()
export class NamePipe implements PipeTransform<unknown, string> {
  transform(value: unknown, metadata: ArgumentMetadata): string {
    if (isName(value)) return value;
    const field = metadata.data ?? 'name';
    throw new AppError('validation_failed', 'http', `${field} ${RULE}.`, { errors: [{ field, message: RULE }] });
  }
}
