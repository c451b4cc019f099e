import type { Metric, MetricValueWithName, Registry } from 'prom-client';

interface Options<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  /** Upper bounds in seconds, ascending. */
  readonly buckets: readonly number[];
  readonly registry: Registry;
}

/** The observations of one combination of labels. */
class Series<Label extends string> {
  /** By the first bucket that an observation fits; those above all buckets stand last. */
  readonly counts: number[];
  sum = 0;

  constructor(
    readonly labels: Readonly<Record<Label, string>>,
    private readonly buckets: readonly number[],
  ) {
    this.counts = [...buckets, Infinity].map(() => 0);
  }

  observe(seconds: number): void {
    let at = 0;
    while (at < this.buckets.length && seconds > this.buckets[at]!) at += 1;
    this.counts[at]! += 1;
    this.sum += seconds;
  }
}

/**
 * A histogram of durations for what happens at every call, told to Prometheus as prom-client's `Histogram` tells its own (text
 * format 0.0.4). That one makes a text of the labels, and of the bucket, at each observation: a twentieth of a lease's CPU.
 */
export class Timings<Label extends string> {
  readonly type = 'histogram';
  readonly #series = new Map<string, Series<Label>>();

  constructor(private readonly options: Options<Label>) {
    // Its type names prom-client's own four classes; what a registry asks of them is `name`, `get` and `reset`.
    options.registry.registerMetric(this as unknown as Metric);
  }

  get name(): string {
    return this.options.name;
  }

  /** @param labels in the order of their names. */
  observe(ms: number, ...labels: string[]): void {
    let key = labels[0]!;
    for (let i = 1; i < labels.length; i += 1) key += ` ${labels[i]}`;
    let series = this.#series.get(key);
    if (!series) this.#series.set(key, (series = this.#open(labels)));
    series.observe(ms / 1000);
  }

  /** What the registry tells. */
  get(): Promise<object> {
    const { name, help } = this.options;
    const values = [...this.#series.values()].flatMap((series) => this.#values(series));
    return Promise.resolve({ name, help, type: this.type, values, aggregator: 'sum' });
  }

  reset(): void {
    this.#series.clear();
  }

  #open(values: readonly string[]): Series<Label> {
    const { labelNames, buckets } = this.options;
    const labels = Object.fromEntries(labelNames.map((label, i) => [label, values[i]])) as Record<Label, string>;
    return new Series(labels, buckets);
  }

  #values({ labels, counts, sum }: Series<Label>): MetricValueWithName<string>[] {
    const { name, buckets } = this.options;
    let count = 0;
    const upTo = [...buckets, '+Inf'].map((le, i) => {
      count += counts[i]!;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...upTo,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
