import { rfc3339 } from '../common/time.js';
import type { SessionDto } from './dto/session.dto.js';
import type { Session } from './session.scripts.js';

/** A session as the API shows it. */
export function toDto(session: Session): SessionDto {
  return {
    session_id: session.sessionId,
    user_id: session.userId,
    role: session.role,
    data: session.data as Record<string, unknown>,
    version: session.version,
    created_at: rfc3339(session.createdAt),
    expires_at: rfc3339(session.expiresAt),
  };
}
