/** What a credential may be in a project, from least to most. */
export const ROLES = ['viewer', 'editor', 'worker', 'owner'] as const;
export type Role = (typeof ROLES)[number];

/** @returns whether `value` names a role. */
export function isRole(value: unknown): value is Role {
  return ROLES.includes(value as Role);
}

/** Who calls, proven by a credential, in one project. */
export interface Principal {
  /** The JWT's `sub`, up to 256 characters of any kind: hash it before it becomes part of a key. */
  readonly userId: string;
  readonly role: Role;
  /** How the caller proved itself. */
  readonly via: 'jwt' | 'session' | 'ticket';
  /** Unix milliseconds after which the credential is no longer good. */
  readonly expiresAt: number;
  /** Whether the browser sent the credential by itself (a cookie), so that another site could have caused the request. */
  readonly ambient: boolean;
  /** The session that authenticated, when one did. */
  readonly sessionId?: string;
}

/** The groups of routes of the contract's table "may". */
export type Access = 'read' | 'write' | 'enqueue' | 'work' | 'own';

const MAY: Record<Access, readonly Role[]> = {
  read: ROLES,
  write: ['editor', 'worker', 'owner'],
  enqueue: ['editor', 'owner'],
  work: ['worker', 'owner'],
  own: ['owner'],
};

/** @returns whether `role` may use routes of the group. */
export function may(role: Role, access: Access): boolean {
  return MAY[access].includes(role);
}
