import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Role } from '../../src/auth/principal.js';
import { parseProjectId, type ProjectId } from '../../src/common/project-id.js';

/** The secret of every application that the tests start. */
export const JWT_SECRET = 'a-secret-of-the-tests-of-at-least-32-bytes';

/** @returns the id of a project that no other test uses. */
export function newProject(): ProjectId {
  return parseProjectId(randomUUID());
}

/** @returns a bearer token for one project. */
export function tokenFor(projectId: string, role: Role = 'owner', user = `user-${randomUUID()}`): Promise<string> {
  return signToken({ projects: { [projectId]: role } }, { user });
}

/** @returns a token with claims of the test's choice; `expiresIn` as jose takes it, `null` for none. */
export function signToken(
  claims: Record<string, unknown>,
  { user = 'user' as string | null, expiresIn = '10 minutes' as string | number | null, secret = JWT_SECRET } = {},
): Promise<string> {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'HS256' });
  if (user !== null) jwt.setSubject(user);
  if (expiresIn !== null) jwt.setExpirationTime(expiresIn);
  return jwt.sign(new TextEncoder().encode(secret));
}
