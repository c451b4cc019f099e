import { ValidationPipe, type ValidationError } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { AppError, type FieldError } from './app-error.js';
import { quickly } from './quick-check.js';

/** Strict rules for bodies and queries: unknown fields are refused, nothing is coerced but query strings. */
const STRICT = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true } as const;

/** The global pipe: a DTO that breaks its rules is 400 `validation_failed` with each field named. */
export function createValidationPipe(): ValidationPipe {
  return new ValidationPipe({
    ...STRICT,
    transform: true,
    exceptionFactory: (errors) => invalid('http', flatten(errors)),
  });
}

/**
 * Builds and validates an instance of `type` from plain data, whose values it may share.
 * @returns the instance, or the fields that broke their rules.
 */
export function check<T extends object>(type: new () => T, plain: unknown, { strict = true } = {}): T | FieldError[] {
  if (typeof plain !== 'object' || plain === null || Array.isArray(plain)) {
    return [{ field: '', message: 'must be a JSON object' }];
  }
  const quick = quickly(type, plain, strict);
  if (quick) return quick;
  const instance = plainToInstance(type, plain);
  const errors = validateSync(instance, strict ? STRICT : { forbidUnknownValues: true });
  return errors.length === 0 ? instance : flatten(errors);
}

/** @returns a `validation_failed` error that names the fields in its sentence too. */
export function invalid(op: string, errors: readonly FieldError[]): AppError {
  const first = errors[0];
  const sentence = first === undefined ? 'The request is not valid.' : `${first.field}: ${first.message}.`;
  const rest = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return new AppError('validation_failed', op, sentence + rest, { errors });
}

/** Turns class-validator's tree into a flat list with dotted paths. */
export function flatten(errors: readonly ValidationError[], parent = ''): FieldError[] {
  return errors.flatMap((error) => {
    const field = parent === '' ? error.property : `${parent}.${error.property}`;
    const own = Object.values(error.constraints ?? {}).map((message) => ({
      field,
      message: message.startsWith(`${error.property} `) ? message.slice(error.property.length + 1) : message,
    }));
    return [...own, ...flatten(error.children ?? [], field)];
  });
}
