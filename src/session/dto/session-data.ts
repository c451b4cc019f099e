import { applyDecorators } from '@nestjs/common';
import { IsObject, ValidateBy } from 'class-validator';

/** Bytes of UTF-8 that the JSON text of a session's data may have: it is no document store. */
export const SESSION_DATA_BYTES = 16_384;

/** Validates a JSON object of at most {@link SESSION_DATA_BYTES}. */
export function IsSessionData(): PropertyDecorator {
  return applyDecorators(
    IsObject({ message: '$property must be a JSON object' }),
    ValidateBy({
      name: 'sessionDataBytes',
      validator: {
        validate: (value) => Buffer.byteLength(JSON.stringify(value) ?? '') <= SESSION_DATA_BYTES,
        defaultMessage: () => `$property must not exceed ${SESSION_DATA_BYTES} bytes as JSON`,
      },
    }),
  );
}
