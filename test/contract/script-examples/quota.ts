import type { ProjectId } from '../../../src/common/project-id.js';
import { LimitsRegistry } from '../../../src/quota/limits.registry.js';
import { QuotaKeys } from '../../../src/quota/quota.keys.js';
import { chargeItems, hitRates, putPolicy, readQuotas } from '../../../src/quota/quota.scripts.js';
import { extendHold, reserveQuota, settleHold } from '../../../src/quota/reservation.scripts.js';
import { ReservationService } from '../../../src/quota/reservation.service.js';
import type { TestApp } from '../../support/app.js';
import { example, type ScriptExample } from '../../support/script-example.js';

// A resource with a bucket and a window, so that every key of it is in use.
const RULES = '//1000//100/60/0';
// The owner has set nothing: each script compares that first.
const CHECKS = { checks: 1, policies: ['quota:llm_tokens', '-'] };

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
      args: { peek: 0, checks: 1, dry: '01', rules: ['rate:api', '-', 10, 60, 1, 5, 60, 2] },
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
          peek: 0,
          checks: 1,
          items: [...CHECKS.policies, RULES, 5, 'input=5', 'r5/60/0', 2, ''],
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
      return { keys: { settings, items: [ledger] }, args: { checks: 1, items: [...CHECKS.policies, RULES, 0] } };
    },
  }),
  example(reserveQuota, {
    prepare: async (app, projectId) => {
      const replay = app.get(QuotaKeys).replay(projectId, 'quota.reserve', 'a', {});
      return {
        keys: { ...keysOf(app, projectId, 'hold'), replay: replay.key },
        args: {
          ...CHECKS,
          rules: RULES,
          fingerprint: replay.fingerprint,
          id: 'hold',
          amount: 5,
          ttl_ms: 1000,
          on_expiry: 'charge',
        },
      };
    },
  }),
  example(extendHold, {
    prepare: async (app, projectId) => {
      const { id } = await reserve(app, projectId);
      return { keys: keysOf(app, projectId, id), args: { ...CHECKS, rules: RULES, id, used: 15 } };
    },
  }),
  example(settleHold, {
    prepare: async (app, projectId) => {
      const { id } = await reserve(app, projectId);
      const { key, fingerprint } = app.get(QuotaKeys).replay(projectId, 'quota.commit', 'a', {});
      return {
        keys: { ...keysOf(app, projectId, id), replay: key },
        args: { ...CHECKS, rules: RULES, fingerprint, id, state: 'committed', amount: 7, kinds: 'input=7' },
      };
    },
  }),
  example(putPolicy, {
    prepare: async (app, projectId) => {
      await reserve(app, projectId);
      const { declared, keys } = { declared: app.get(LimitsRegistry), keys: keysOf(app, projectId, 'none') };
      return {
        keys: { settings: keys.settings, bucket: keys.ledger },
        args: {
          field: 'quota:llm_tokens',
          default: declared.text('quota:llm_tokens'),
          policy: 'bucket=50/60',
          most: 10,
        },
      };
    },
  }),
];
