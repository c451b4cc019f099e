import { AppError } from '../common/app-error.js';
import { bucketName, bucketsOf, type ItemState, itemView, rateView } from './quota.state.js';

/**
 * A refusal: `rate_limited` or `quota_exceeded`. It names the rule that takes longest to give way, and carries the state of
 * what was asked for: as `items`, or for a single item its own members.
 */
export function refusal(op: string, items: readonly ItemState[], several = false): AppError {
  const rules = items.flatMap(({ item, state }) => {
    if ('action' in item) {
      return bucketsOf(state).flatMap(({ dry, retryMs }, i) =>
        dry ? [] : [{ name: bucketName(item.action, state, i), rate: true, retryMs }],
      );
    }
    if (state.dry) return [];
    const named = state.windows.map(({ kind, retryMs }) => ({
      name: `${item.resource}.${kind}`,
      rate: false,
      retryMs,
    }));
    if (state.bucket) named.push({ name: `${item.resource}.bucket`, rate: false, retryMs: state.bucket.retryMs });
    return named;
  });
  const last = rules.reduce((longest, rule) => (rule.retryMs > longest.retryMs ? rule : longest));
  return new AppError(
    last.rate ? 'rate_limited' : 'quota_exceeded',
    op,
    `The limit ${last.name} does not leave that much.`,
    {
      rule: last.name,
      retryAfterSeconds: last.retryMs / 1000,
      members: several ? { items: items.map((item) => itemView(item, false)) } : single(items[0]!),
    },
  );
}

function single({ item, state }: ItemState): Record<string, unknown> {
  return 'action' in item ? rateView(state, false) : itemView({ item, state }, false);
}

/** Nobody declared the action or resource, in the settings, in a module or in the project. */
export function noPolicy(op: string): AppError {
  return new AppError('not_found', op, 'There is no such action or resource: it has no limits in this project.');
}

/** Unknown, or ended more than a day ago. */
export function noHold(op: string): AppError {
  return new AppError('not_found', op, 'There is no such reservation, or it ended more than a day ago.');
}
