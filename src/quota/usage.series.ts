import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { invalid } from '../common/validation.js';
import { RedisClock } from '../redis/redis-clock.js';
import { RedisGateway } from '../redis/redis-gateway.js';
import { WINDOWS } from './policy.js';
import { QuotaKeys } from './quota.keys.js';

const MAX_POINTS = 1500;
const HOUR_MS = 3_600_000;
const DEFAULT_MS = { minute: HOUR_MS, hour: 24 * HOUR_MS, day: 720 * HOUR_MS } as const;

/** Which part of a usage series is asked for. */
export interface UsageRange {
  readonly granularity: keyof typeof DEFAULT_MS;
  /** Unix ms; by default an hour, a day or 30 days before `to`. */
  readonly from?: number | undefined;
  /** Unix ms, exclusive; by default now. */
  readonly to?: number | undefined;
}

/** What was charged in one window, in all and by kind. */
export interface UsagePoint {
  /** Unix ms. */
  readonly start: number;
  readonly used: number;
  /** Counts as they were reported, before weighing. */
  readonly kinds?: Readonly<Record<string, number>>;
}

/** The usage series of resources: the very cells that limit. */
@Injectable()
export class UsageSeries {
  constructor(
    private readonly keys: QuotaKeys,
    private readonly gateway: RedisGateway,
    private readonly clock: RedisClock,
  ) {}

  /**
   * @param settle makes the caller settle what is due, after the range was checked.
   * @throws AppError `validation_failed` for more than 1,500 windows.
   */
  async read(
    projectId: ProjectId,
    resource: string,
    { granularity, to = this.clock.now('state'), from = to - DEFAULT_MS[granularity] }: UsageRange,
    settle: () => Promise<unknown>,
  ): Promise<UsagePoint[]> {
    if (from < 0 || from >= to) throw invalid('quota.usage', [{ field: 'from', message: 'must be before `to`' }]);
    if (to - from > MAX_POINTS * WINDOWS[granularity].longestMs)
      throw invalid('quota.usage', [{ field: 'from', message: `must be at most ${MAX_POINTS} windows before \`to\`` }]);
    await settle();
    const starts = WINDOWS[granularity].starts(from, to);
    const keys = starts.map((start) => this.keys.cell(projectId, resource, granularity, start / 1000));
    const cells = await this.gateway.call('state', 'quota.usage', (client) => client.mget(keys));
    return starts.map((start, i) => ({ start, ...readCell(cells[i] ?? '0') }));
  }
}

/** `<used>[+<held>][ <kind>=<count>]…`, as lua/include/ledger.lua writes it. */
function readCell(cell: string): Omit<UsagePoint, 'start'> {
  const [amounts, ...kinds] = cell.split(' ');
  const counts = kinds.map((word) => [word.slice(0, word.indexOf('=')), Number(word.slice(word.indexOf('=') + 1))]);
  return {
    used: Number.parseInt(amounts!, 10),
    ...(counts.length > 0 ? { kinds: Object.fromEntries(counts) as Record<string, number> } : {}),
  };
}
