import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';
import { Injectable } from '@nestjs/common';
import { validateSync } from 'class-validator';
import { AppError } from '../common/app-error.js';
import { Lru } from '../common/lru.js';
import { flatten, invalid } from '../common/validation.js';
import { AppConfig } from '../config/app-config.js';
import { DocumentDto } from './dto/document.dto.js';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Id and numbers of a document beside its two texts: what its JSON may exceed a body by. */
const OVERHEAD_BYTES = 1024;
const REMEMBERED = 10_000;

/** A document as it is stored. */
export class StoredDocument {
  #document: DocumentDto | undefined;

  constructor(
    /** Its JSON text in UTF-8, as its writer wrote it, fields of other programs included. */
    readonly json: Buffer,
    /** Strong validator of the stored bytes, with its quotes (RFC 9110, section 8.8.3). */
    readonly etag: string,
    document?: DocumentDto,
  ) {
    this.#document = document;
  }

  /** Its fields; parsed at the first use. */
  get document(): DocumentDto {
    this.#document ??= pick(JSON.parse(this.json.toString()) as DocumentDto);
    return Object.freeze(this.#document);
  }

  /** @returns the same in memory of its own: what Redis sent is part of something larger, which would stay with it. */
  own(): StoredDocument {
    const json = Buffer.allocUnsafeSlow(this.json.length);
    this.json.copy(json);
    return new StoredDocument(json, this.etag, this.#document);
  }
}

/** Documents to bytes and back. Nothing that does not validate is stored by the API, or shown when others stored it. */
@Injectable()
export class DocumentCodec {
  // Bytes that validated once are known by their hash: the next read of them costs neither parsing nor validation.
  readonly #validated = new Lru<string, Pick<DocumentDto, 'id' | 'version'>>(REMEMBERED);
  readonly #maxBytes: number;
  readonly #compressFrom: number;

  constructor(config: AppConfig) {
    this.#maxBytes = config.BODY_LIMIT_BYTES + OVERHEAD_BYTES;
    this.#compressFrom = config.CACHE_COMPRESS_MIN_BYTES > 0 ? config.CACHE_COMPRESS_MIN_BYTES : Infinity;
  }

  /**
   * @returns the bytes to store: exactly the JSON text of the four fields in their order, or gzip of it where the settings
   * say so and it is smaller.
   * @throws AppError `validation_failed`, `payload_too_large`
   */
  async encode(document: DocumentDto): Promise<Buffer> {
    const checked = pick(document);
    const errors = validateSync(checked);
    if (errors.length > 0) throw invalid('cache.put', flatten(errors));
    const json = Buffer.from(JSON.stringify(checked));
    if (json.length > this.#maxBytes)
      throw new AppError('payload_too_large', 'cache.put', 'The document is too large.');
    if (json.length < this.#compressFrom) return json;
    const zipped = await compress(json, { level: constants.Z_BEST_SPEED });
    return zipped.length < json.length ? zipped : json;
  }

  /** @returns the document with this id (and version), or `undefined` when the bytes are none. */
  async decode(stored: Buffer, id: string, version?: number): Promise<StoredDocument | undefined> {
    const etag = `"${hash('sha256', stored, 'base64url')}"`;
    const known = this.#validated.get(etag);
    if (known && !matches(known, id, version)) return undefined;
    const json = await this.#plain(stored);
    if (!json) return undefined;
    if (known) return new StoredDocument(json, etag);
    const document = parse(json);
    if (!document) return undefined;
    this.#validated.set(etag, { id: document.id, version: document.version });
    return matches(document, id, version) ? new StoredDocument(json, etag, document) : undefined;
  }

  // A bomb, rot or anything longer than a document may be is no document.
  async #plain(stored: Buffer): Promise<Buffer | undefined> {
    if (stored[0] !== 0x1f || stored[1] !== 0x8b) return stored.length <= this.#maxBytes ? stored : undefined;
    return decompress(stored, { maxOutputLength: this.#maxBytes }).catch(() => undefined);
  }
}

function matches(document: Pick<DocumentDto, 'id' | 'version'>, id: string, version: number | undefined): boolean {
  return document.id === id && (version === undefined || document.version === version);
}

function parse(json: Buffer): DocumentDto | undefined {
  if (!isUtf8(json)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const document = pick(value as DocumentDto);
  return validateSync(document).length === 0 ? document : undefined;
}

// Field by field: whatever else others put beside them, however deep, costs nothing here.
function pick({ id, title, content, version }: DocumentDto): DocumentDto {
  return Object.assign(new DocumentDto(), { id, title, content, version });
}
