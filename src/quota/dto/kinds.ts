import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, ValidateBy, ValidateIf } from 'class-validator';
import { isName } from '../../common/names.js';

const MOST = 1_000_000_000_000;

/** Counts by kind: at most 8 names with whole numbers. */
export function IsKinds(): PropertyDecorator {
  return applyDecorators(
    ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'integer', minimum: 0, maximum: MOST } }),
    IsOptional(),
    ValidateBy({
      name: 'isKinds',
      validator: {
        validate: (value: unknown) =>
          typeof value === 'object' &&
          value !== null &&
          !Array.isArray(value) &&
          Object.keys(value).length <= 8 &&
          Object.entries(value).every(
            ([kind, count]) => isName(kind) && Number.isInteger(count) && count >= 0 && count <= MOST,
          ),
        defaultMessage: () => '$property must be at most 8 names with whole numbers from 0 to 1,000,000,000,000',
      },
    }),
  );
}

/** An amount that may be left out where `kinds` tell what was used; nowhere else. */
export function OrKinds(): PropertyDecorator {
  return applyDecorators(
    ApiPropertyOptional(),
    ValidateIf(({ kinds }: { kinds?: unknown }, value: unknown) => value !== undefined || (kinds ?? null) === null),
  );
}

/** A figure that may be left out, but is not null: an amount that the caller failed to compute is no default. */
export function IfGiven(): PropertyDecorator {
  return ValidateIf((_, value: unknown) => value !== undefined);
}
