import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { MetricsRegistry } from '../common/metrics-registry.js';

/** What progress counts; never by project. */
@Injectable()
export class ProgressMetrics {
  readonly streams: Gauge;
  readonly published: Counter;
  readonly ingested: Counter<'outcome'>;
  readonly frames: Counter;
  #frames = 0;
  readonly repairs: Counter;
  readonly resets: Counter;
  readonly stuck: Counter;

  constructor({ registry }: MetricsRegistry) {
    const registers = [registry];
    this.streams = new Gauge({ name: 'progress_streams', help: 'Open event streams.', registers });
    this.published = new Counter({ name: 'progress_published_total', help: 'Events published here.', registers });
    this.ingested = new Counter({
      name: 'progress_ingested_total',
      help: 'Messages of other programs, by outcome: logged, invalid, or dropped because Redis was away or full.',
      labelNames: ['outcome'],
      registers,
    });
    const take = (): number => {
      const frames = this.#frames;
      this.#frames = 0;
      return frames;
    };
    this.frames = new Counter({
      name: 'progress_frames_total',
      help: 'Events written to streams.',
      registers,
      collect() {
        this.inc(take());
      },
    });
    this.repairs = new Counter({
      name: 'progress_repairs_total',
      help: 'Gaps in what pub/sub delivered that were found, and closed from the log or by a reset.',
      registers,
    });
    this.resets = new Counter({
      name: 'progress_resets_total',
      help: 'Streams whose cursor could not be continued: they got $reset and a snapshot.',
      registers,
    });
    this.stuck = new Counter({
      name: 'progress_stuck_total',
      help: 'Streams that were closed because their reader took nothing for too long.',
      registers,
    });
  }

  /** Events written to streams. Summed up for the next scrape, because this happens most often of all. */
  countFrame(): void {
    this.#frames += 1;
  }
}
