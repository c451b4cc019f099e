import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, crc32, gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import { Injectable } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { check } from '../../common/validation.js';
import { AppConfig } from '../../config/app-config.js';
import type { Entry, EntryType } from './entry-type.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);
const FAST = { level: constants.Z_BEST_SPEED };
/** Above it zlib works beside the event loop, below it the way there costs more than the work. */
const ASYNC_BYTES = 32_768;
const OVERHEAD_BYTES = 1024;

/** Bytes of a value as they are stored, and their checksum. */
export interface Encoded<T> {
  readonly bytes: Buffer;
  readonly sum: number;
  /** The value as readers will get it. */
  readonly value: T;
}

/** A value as it was read. */
export interface Decoded<T> {
  readonly value: T;
  /** The size of its JSON text. */
  readonly jsonBytes: number;
}

/** What a load noted of the bytes that it stored. */
export interface Meta {
  /** Unix ms, Redis time. */
  readonly freshUntil: number;
  readonly loadMs: number;
}

/** Values to bytes and back. Bytes that this cache wrote itself are known by their checksum; all others are validated. */
@Injectable()
export class EntryCodec {
  readonly #maxBytes: number;

  constructor(config: AppConfig) {
    this.#maxBytes = config.BODY_LIMIT_BYTES + OVERHEAD_BYTES;
  }

  /** @throws TypeError when the value is not what its type says, or too large: a bug of its loader. */
  async encode<T extends object>({ type, id }: Entry<T>, loaded: T): Promise<Encoded<T>> {
    const text = JSON.stringify(type.pick(loaded)) ?? '';
    const value = parse(type, id, text);
    if (!value) throw new TypeError(`the loader of ${type.name} gave no valid value`);
    if (type.l1) freeze(value);
    const json = Buffer.from(text);
    if (json.length > this.#maxBytes) throw new TypeError(`a value of ${type.name} is too large`);
    const bytes = json.length < type.compressFrom ? json : await smaller(json);
    return { bytes, sum: checksum(type, bytes), value };
  }

  /** @returns what is known of the bytes, when they are exactly what the last load stored. */
  meta(type: { readonly schema: number }, bytes: Buffer, meta: Buffer | undefined): Meta | undefined {
    const [freshUntil, loadMs, sum] = meta?.toString('latin1').split(' ').map(Number) ?? [];
    if (sum === undefined || sum !== checksum(type, bytes)) return undefined;
    return { freshUntil: freshUntil!, loadMs: loadMs! };
  }

  /** @returns the value, `undefined` for bytes that are none. @param proven whether this cache wrote them itself. */
  async decode<T extends object>(entry: Entry<T>, bytes: Buffer, proven: boolean): Promise<Decoded<T> | undefined> {
    const json = isGzip(bytes) ? await this.#plain(bytes) : bytes;
    if (!json || json.length > this.#maxBytes || !(proven || isUtf8(json))) return undefined;
    const { type, id } = entry;
    const text = json.toString();
    const value = proven ? plainToInstance(type.type, type.pick(JSON.parse(text) as T)) : parse(type, id, text);
    if (!value) return undefined;
    return { value: type.l1 ? freeze(value) : value, jsonBytes: json.length };
  }

  // A bomb or rot is no value.
  async #plain(bytes: Buffer): Promise<Buffer | undefined> {
    const options = { maxOutputLength: this.#maxBytes };
    try {
      return bytes.length < ASYNC_BYTES / 8 ? gunzipSync(bytes, options) : await decompress(bytes, options);
    } catch {
      return undefined;
    }
  }
}

/** @returns the digest by which the scripts compare what a reader saw. */
export function digestOf(bytes: Buffer | undefined, meta: Buffer | undefined): string {
  if (!bytes || bytes.length === 0) return '';
  return createHash('sha1')
    .update(bytes)
    .update('\n')
    .update(meta ?? '')
    .digest('hex');
}

async function smaller(json: Buffer): Promise<Buffer> {
  const zipped = json.length < ASYNC_BYTES ? gzipSync(json, FAST) : await compress(json, FAST);
  return zipped.length < json.length ? zipped : json;
}

function checksum(type: { readonly schema: number }, bytes: Buffer): number {
  return crc32(bytes, type.schema);
}

function freeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) freeze(part as object);
  return Object.freeze(value);
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function parse<T extends object>(type: EntryType<T>, id: string, text: string): T | undefined {
  try {
    const value = check(type.type, type.pick(JSON.parse(text) as object), { strict: false });
    return Array.isArray(value) || !type.accepts(value, id) ? undefined : value;
  } catch {
    return undefined;
  }
}
