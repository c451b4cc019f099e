import type { ProjectId } from '../common/project-id.js';
import { sha256 } from '../common/tokens.js';
import { invalid } from '../common/validation.js';
import type { KeyBuilder } from './key-builder.js';

/** What a script with the include `idempotency` needs: a key, and what the first call with that key asked for. */
export interface Idempotency {
  /** HASH `fingerprint`, `reply`; TTL 10 minutes. */
  readonly key: string;
  /** Empty when the caller gave no Idempotency-Key: then the key is neither read nor written. */
  readonly fingerprint: string;
}

/**
 * @param op the operation, so that one header may serve several operations without a clash: `quota.consume`.
 * @param header the value of `Idempotency-Key`, 1 to 128 characters of any kind, or `undefined`.
 * @param body what is asked for, with the names in the path; an equal key with another body is 409 `conflict`.
 * @throws AppError `validation_failed`
 */
export function idempotency(
  keys: KeyBuilder,
  projectId: ProjectId,
  op: string,
  header: string | undefined,
  body: unknown,
): Idempotency {
  if (header === undefined) return { key: keys.key(projectId, 'idempotency', op, 'none'), fingerprint: '' };
  if (header.length < 1 || header.length > 128) {
    throw invalid(op, [{ field: 'Idempotency-Key', message: 'must be 1 to 128 characters' }]);
  }
  return { key: keys.key(projectId, 'idempotency', op, sha256(header)), fingerprint: sha256(JSON.stringify(body)) };
}
