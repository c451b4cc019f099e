import { applyDecorators } from '@nestjs/common';
import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, ValidateIf } from 'class-validator';
import { IsNamedNumbers } from '../../config/validators.js';

const MOST = 1_000_000_000_000;

/** Counts by kind: at most 8 names with whole numbers. */
export function IsKinds(): PropertyDecorator {
  return applyDecorators(
    ApiPropertyOptional({ type: 'object', additionalProperties: { type: 'integer', minimum: 0, maximum: MOST } }),
    IsOptional(),
    IsNamedNumbers(
      'isKinds',
      (count) => Number.isInteger(count) && count >= 0 && count <= MOST,
      'whole numbers from 0 to 1,000,000,000,000',
    ),
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
