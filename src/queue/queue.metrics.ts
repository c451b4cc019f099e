import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { MetricsRegistry } from '../common/metrics-registry.js';
import { Timings } from '../common/timings.js';

const SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600];

/** How much waits in a queue, over all projects that were looked at. */
export interface Backlog {
  readonly queue: string;
  readonly projects: number;
  /** The most in one project. */
  readonly jobs: number;
  /** Of the oldest that waits. */
  readonly ageSeconds: number;
}

/** What happens to jobs, by queue; never by project. */
@Injectable()
export class QueueMetrics {
  /** By queue and event, since the last scrape. */
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #wait: Timings<'queue'>;
  readonly #run: Timings<'queue'>;
  readonly #sweep: Timings<'queue' | 'kind'>;

  constructor(private readonly registry: MetricsRegistry) {
    const counts = this.#counts;
    // oxlint-disable-next-line no-new -- the registry holds it.
    new Counter({
      name: 'queue_jobs_total',
      help: 'Jobs by what happened to them: enqueued, leased, done, retried, dead, expired, stale, released, cancelled.',
      labelNames: ['queue', 'event'],
      registers: [registry.registry],
      collect() {
        for (const [queue, events] of counts) for (const [event, jobs] of events) this.inc({ queue, event }, jobs);
        counts.clear();
      },
    });
    this.#wait = new Timings({
      name: 'queue_wait_seconds',
      help: 'From a job being added to its first lease; tasks that others pushed are not in it.',
      labelNames: ['queue'],
      buckets: SECONDS,
      registry: registry.registry,
    });
    this.#run = new Timings({
      name: 'queue_run_seconds',
      help: 'How long a handler of this process worked on a job.',
      labelNames: ['queue'],
      buckets: SECONDS,
      registry: registry.registry,
    });
    this.#sweep = new Timings({
      name: 'queue_sweep_seconds',
      help: 'How long a look at all known projects took: at their lists, or at what becomes due by itself.',
      labelNames: ['queue', 'kind'],
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
      registry: registry.registry,
    });
  }

  /** Summed up for the next scrape, because each job is counted several times. */
  count(queue: string, event: string, jobs = 1): void {
    if (jobs === 0) return;
    let events = this.#counts.get(queue);
    if (!events) this.#counts.set(queue, (events = new Map()));
    events.set(event, (events.get(event) ?? 0) + jobs);
  }

  waited(queue: string, ms: number): void {
    this.#wait.observe(Math.max(ms, 0), queue);
  }

  ran(queue: string, ms: number): void {
    this.#run.observe(ms, queue);
  }

  swept(queue: string, kind: string, ms: number): void {
    this.#sweep.observe(ms, queue, kind);
  }

  /** @param parked tells how many polls wait at present. */
  gaugeParked(parked: () => number): void {
    const gauge: Gauge = new Gauge({
      name: 'queue_parked_polls',
      help: 'Lease requests that wait for a job.',
      registers: [this.registry.registry],
      collect: () => gauge.set(parked()),
    });
  }

  /** @param look at the queues of this process, when somebody asks for the metrics. */
  gaugeBacklog(look: () => Promise<Backlog[]>): void {
    // All of one scrape are asked in one turn, and share one look.
    let looking: Promise<Backlog[]> | undefined;
    const gauge = (name: string, help: string, of: (backlog: Backlog) => number): void => {
      const made: Gauge<'queue'> = new Gauge({
        name,
        help,
        labelNames: ['queue'],
        registers: [this.registry.registry],
        collect: async () => {
          looking ??= look().finally(() => {
            looking = undefined;
          });
          for (const backlog of await looking) made.set({ queue: backlog.queue }, of(backlog));
        },
      });
    };
    gauge('queue_backlog_projects', 'Projects whose jobs waited when this process looked last.', (of) => of.projects);
    gauge('queue_backlog_jobs', 'Most jobs that wait in one of those projects.', (of) => of.jobs);
    gauge('queue_oldest_waiting_seconds', 'Age of the oldest job in one of those projects.', (of) => of.ageSeconds);
  }
}
