import { readFile } from 'node:fs/promises';

/** The file of an embeddings package, as far as it is read here. */
interface WordVectorFile {
  readonly dimensions: number;
  /** All words, the most frequent first. */
  readonly words: readonly string[];
  /** Per word its coordinates, then their length and the word's rank. */
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/** How many of the most frequent words make up the direction that all texts share. */
const COMMON_WORDS = 10_000;

/** Word vectors in one block of memory. */
export class WordVectors {
  private constructor(
    readonly dimensions: number,
    private readonly ranks: ReadonlyMap<string, number>,
    private readonly block: Float32Array,
  ) {}

  /**
   * Reads the JSON file of an embeddings package: 4 s and almost 1 GB for 340,000 words. Of that, 170 MB stay in use; kept
   * as it is parsed, the file would take twice the time and 1 GB for ever.
   */
  static async read(path: string): Promise<WordVectors> {
    // As Latin-1 a character takes one byte; one accent in the file would make it two for all. Words are mended below.
    const file = JSON.parse(await readFile(path, 'latin1')) as WordVectorFile;
    const { dimensions, words, vectors } = file;
    const block = new Float32Array(words.length * dimensions);
    const ranks = new Map<string, number>();
    words.forEach((word, rank) => {
      const vector = vectors[word];
      if (vector === undefined) return;
      for (let i = 0; i < dimensions; i++) block[rank * dimensions + i] = vector[i]!;
      ranks.set(Buffer.from(word, 'latin1').toString('utf8'), rank);
    });
    center(block, dimensions);
    return new WordVectors(dimensions, ranks, block);
  }

  /** @returns the place of the word by frequency, 0 for the most frequent; `undefined` when it is not known. */
  rank(word: string): number | undefined {
    return this.ranks.get(word);
  }

  /** @returns how many words are known. */
  get size(): number {
    return this.ranks.size;
  }

  /** @returns the coordinates of the word of a rank: a view, not to be written to. */
  at(rank: number): Float32Array {
    return this.block.subarray(rank * this.dimensions, (rank + 1) * this.dimensions);
  }
}

/**
 * Takes from each word what all have in common, or every two texts would look alike (Mu and Viswanath, "All-but-the-Top",
 * 2018; of the common directions the mean alone).
 */
function center(block: Float32Array, dimensions: number): void {
  const mean = new Float32Array(dimensions);
  const count = Math.min(COMMON_WORDS, block.length / dimensions);
  for (let i = 0; i < count * dimensions; i++) mean[i % dimensions]! += block[i]! / count;
  for (let i = 0; i < block.length; i++) block[i]! -= mean[i % dimensions]!;
}
