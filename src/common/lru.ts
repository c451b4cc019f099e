interface Slot<V> {
  readonly value: V;
  readonly weight: number;
}

/**
 * A map that keeps the `capacity` entries used last, and of these only so many as weigh `maxWeight` together: a memory of the
 * process that no number of projects can grow.
 */
export class Lru<K, V> {
  readonly #entries = new Map<K, Slot<V>>();
  #weight = 0;
  #newest: Slot<V> | undefined;

  constructor(
    private readonly capacity: number,
    private readonly maxWeight = Infinity,
  ) {}

  get size(): number {
    return this.#entries.size;
  }

  get weight(): number {
    return this.#weight;
  }

  /** @returns the value, which counts as used now. */
  get(key: K): V | undefined {
    const slot = this.#entries.get(key);
    if (slot === undefined) return undefined;
    // A Map keeps the order of insertion: what was used last stands last.
    if (slot !== this.#newest) {
      this.#entries.delete(key);
      this.#entries.set(key, slot);
      this.#newest = slot;
    }
    return slot.value;
  }

  delete(key: K): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#newest = undefined;
    this.#weight = 0;
  }

  /** @param weight in the unit of `maxWeight`; what weighs more than that alone is not kept. */
  set(key: K, value: V, weight = 0): void {
    this.delete(key);
    if (weight > this.maxWeight) return;
    while (this.#entries.size >= this.capacity || this.#weight + weight > this.maxWeight) {
      this.delete(this.#entries.keys().next().value as K);
    }
    this.#newest = { value, weight };
    this.#entries.set(key, this.#newest);
    this.#weight += weight;
  }
}
