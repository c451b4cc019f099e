import { fieldOf } from './quota.scripts.js';
import type { QuotaItem, RateItem } from './quota.state.js';

/** The items of a call by what they charge: the same name twice is summed, so that no rule is passed by in parts. */
export function sum(items: readonly (RateItem | QuotaItem)[]) {
  const summed = new Map<ReturnType<typeof fieldOf>, RateItem | QuotaItem>();
  for (const item of items) {
    const field = fieldOf(item);
    const before = summed.get(field);
    if (before === undefined) summed.set(field, item);
    else if ('action' in item) summed.set(field, { ...item, cost: item.cost + (before as RateItem).cost });
    else summed.set(field, addQuota(before as QuotaItem, item));
  }
  return summed;
}

function addQuota(a: QuotaItem, b: QuotaItem): QuotaItem {
  const kinds: Record<string, number> = { ...a.kinds };
  for (const [kind, count] of Object.entries(b.kinds ?? {})) kinds[kind] = (kinds[kind] ?? 0) + count;
  return { resource: a.resource, amount: a.amount + b.amount, ...(a.kinds || b.kinds ? { kinds } : {}) };
}
