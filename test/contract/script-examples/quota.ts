import type { ProjectId } from '../../../src/common/project-id.js';
import { LimitsRegistry } from '../../../src/quota/limits.registry.js';
import { QuotaKeys } from '../../../src/quota/quota.keys.js';
import {
  chargeItems,
  extendHold,
  hitRates,
  putPolicy,
  readQuotas,
  reserveQuota,
  settleHold,
} from '../../../src/quota/quota.scripts.js';
import { ReservationService } from '../../../src/quota/reservation.service.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

// A resource with a bucket and a window, so that every key of it is in use.
const POLICY = { field: 'quota:llm_tokens', default: 'day=1000 bucket=100/60' };

function keysOf(app: TestApp, projectId: ProjectId, id: string) {
  const keys = app.get(QuotaKeys);
  return {
    settings: keys.settings(projectId),
    ledger: keys.resource(projectId, 'llm_tokens'),
    hold: keys.hold(projectId, 'llm_tokens', id),
    due: keys.due(projectId, 'llm_tokens'),
  };
}

const reserve = (app: TestApp, projectId: ProjectId) =>
  app.get(ReservationService).reserve(projectId, 'llm_tokens', 10, { ttlSeconds: 60 });

export const examples: ScriptExample[] = [
  example(hitRates, {
    prepare: async (app, projectId) => ({
      keys: {
        settings: app.get(QuotaKeys).settings(projectId),
        buckets: [
          app.get(QuotaKeys).rateBucket(projectId, 'api', 60),
          app.get(QuotaKeys).rateBucket(projectId, 'search', 60),
        ],
      },
      args: { rules: ['rate:api', 10, 60, 1, 'rate:search', 5, 60, 2] },
    }),
  }),
  example(chargeItems, {
    prepare: async (app, projectId) => {
      const keys = app.get(QuotaKeys);
      const replay = keys.replay(projectId, 'quota.consume', 'a', {});
      return {
        keys: {
          settings: keys.settings(projectId),
          replay: replay.key,
          items: [keys.resource(projectId, 'llm_tokens'), keys.rateBucket(projectId, 'search', 60)],
        },
        args: {
          fingerprint: replay.fingerprint,
          items: [POLICY.field, POLICY.default, 5, 'rate:search', 'bucket=5/60', 2],
        },
      };
    },
  }),
  example(readQuotas, {
    // Reading writes only when a hold is due.
    prepare: async (app, projectId) => {
      const { id } = await reserve(app, projectId);
      const { settings, ledger, due } = keysOf(app, projectId, id);
      await app.state.zadd(due, 1, id);
      return { keys: { settings, items: [ledger] }, args: { items: [POLICY.field, POLICY.default] } };
    },
  }),
  example(reserveQuota, {
    prepare: async (app, projectId) => {
      const replay = app.get(QuotaKeys).replay(projectId, 'quota.reserve', 'a', {});
      return {
        keys: { ...keysOf(app, projectId, 'hold'), replay: replay.key },
        args: { ...POLICY, fingerprint: replay.fingerprint, id: 'hold', amount: 5, ttl_ms: 1000, on_expiry: 'charge' },
      };
    },
  }),
  example(extendHold, {
    prepare: async (app, projectId) => {
      const { id } = await reserve(app, projectId);
      return { keys: keysOf(app, projectId, id), args: { ...POLICY, id, used: 15 } };
    },
  }),
  example(settleHold, {
    prepare: async (app, projectId) => {
      const { id } = await reserve(app, projectId);
      return { keys: keysOf(app, projectId, id), args: { ...POLICY, id, state: 'committed', amount: 7 } };
    },
  }),
  example(putPolicy, {
    prepare: async (app, projectId) => {
      await reserve(app, projectId);
      const { declared, keys } = { declared: app.get(LimitsRegistry), keys: keysOf(app, projectId, 'none') };
      return {
        keys: { settings: keys.settings, bucket: keys.ledger },
        args: { field: POLICY.field, default: declared.text('quota:llm_tokens'), policy: 'bucket=50/60', most: 10 },
      };
    },
  }),
];
