import type { ProjectId } from '../../../src/common/project-id.js';
import { SessionKeys } from '../../../src/session/session.keys.js';
import {
  checkSession,
  endSession,
  endSessionsOfUser,
  openSession,
  readSessions,
  rotateSession,
  saveSession,
} from '../../../src/session/session.scripts.js';
import { SessionService } from '../../../src/session/session.service.js';
import { issueToken, parseToken } from '../../../src/session/session-token.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

const USER = 'a user: * {}';

/** An open session, its key names, and what its token says. */
async function opened(app: TestApp, projectId: ProjectId) {
  const { token } = await app.get(SessionService).open(projectId, { userId: USER, role: 'editor' });
  const { sessionId, secretHash } = parseToken(token)!;
  return { sessionId, secretHash, keys: keysOf(app, projectId, sessionId) };
}

function keysOf(app: TestApp, projectId: ProjectId, sessionId: string) {
  const keys = app.get(SessionKeys);
  return {
    index: keys.index(projectId),
    user: keys.user(projectId, USER),
    session: keys.session(projectId, sessionId),
    ended: keys.ended(projectId, sessionId),
  };
}

export const examples: ScriptExample[] = [
  example(openSession, {
    prepare: async (app, projectId) => {
      await opened(app, projectId);
      const { sessionId, secretHash } = issueToken(USER);
      const { index, user, session } = keysOf(app, projectId, sessionId);
      return {
        keys: { index, user, session },
        args: {
          session_id: sessionId,
          secret: secretHash,
          user_id: USER,
          role: 'viewer',
          data: '{}',
          ttl_ms: 60_000,
          max_ms: 600_000,
          cap: 1,
        },
      };
    },
  }),
  example(rotateSession, {
    prepare: async (app, projectId) => {
      const { sessionId, secretHash, keys } = await opened(app, projectId);
      const { index, session } = keys;
      const args = { session_id: sessionId, user_id: USER, secret: secretHash, new_secret: 'next', role: 'viewer' };
      return { keys: { index, session }, args: { ...args, grace_ms: 10_000 } };
    },
  }),
  example(checkSession, {
    prepare: async (app, projectId) => {
      const { sessionId, secretHash, keys } = await opened(app, projectId);
      // So near to its end that the check moves it.
      const { index, session } = keys;
      const soon = Number(await app.state.zscore(index, sessionId)) - 3_600_000;
      await app.state.zadd(index, soon, sessionId);
      return { keys: { index, session }, args: { session_id: sessionId, secret: secretHash } };
    },
  }),
  example(readSessions, {
    prepare: async (app, projectId) => {
      const { keys } = await opened(app, projectId);
      return { keys: { index: keys.index, sessions: [keys.session] }, args: {} };
    },
  }),
  example(saveSession, {
    prepare: async (app, projectId) => {
      const { sessionId, keys } = await opened(app, projectId);
      return {
        keys: { index: keys.index, session: keys.session },
        args: { session_id: sessionId, version: 1, data: '{"a":1}' },
      };
    },
  }),
  example(endSession, {
    prepare: async (app, projectId) => {
      const { sessionId, keys } = await opened(app, projectId);
      return { keys, args: { session_id: sessionId } };
    },
  }),
  example(endSessionsOfUser, {
    prepare: async (app, projectId) => {
      const { index, user } = (await opened(app, projectId)).keys;
      return { keys: { index, user }, args: {} };
    },
  }),
];
