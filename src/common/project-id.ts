import { AppError } from './app-error.js';

declare const brand: unique symbol;

/**
 * A validated project (tenant) id: a lower-case UUID that is neither the nil nor the max UUID.
 * Only {@link parseProjectId} makes one, so code that holds a `ProjectId` cannot have forgotten, guessed or defaulted it.
 */
export type ProjectId = string & { readonly [brand]: 'ProjectId' };

// Any version and variant (RFC 9562 keeps them open); only the two reserved values are refused.
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const NIL = '00000000-0000-0000-0000-000000000000';
const MAX = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * The one door through which a project id enters the code.
 * @throws AppError `project_id_invalid` for everything that is not a UUID of RFC 9562 text form, nil or max.
 */
export function parseProjectId(value: unknown): ProjectId {
  if (typeof value === 'string') {
    const id = value.toLowerCase();
    if (UUID.test(id) && id !== NIL && id !== MAX) return id as ProjectId;
  }
  throw new AppError('project_id_invalid', 'project_id', 'project_id must be a UUID that is neither nil nor max.', {
    errors: [{ field: 'project_id', message: 'must be a UUID that is neither nil nor max' }],
  });
}
