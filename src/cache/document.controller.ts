import { Body, Delete, Get, Headers, HttpCode, Param, Put, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiParam, ApiResponse } from '@nestjs/swagger';
import type { Response } from 'express';
import { AppError } from '../common/app-error.js';
import { ApiProblems } from '../common/http/api-problems.js';
import { NamePipe } from '../common/names.js';
import { ProjectController } from '../project-context/project-controller.decorator.js';
import { Project, Requires } from '../project-context/project.decorators.js';
import type { RequestProject } from '../project-context/request-project.js';
import { CacheService } from './cache.service.js';
import type { StoredDocument } from './document-codec.js';
import { DocumentDto, PutDocumentDto } from './dto/document.dto.js';
import { Version } from './version.decorator.js';

const IF_NONE_MATCH = {
  name: 'If-None-Match',
  required: false,
  description: 'ETags that the caller has: the answer is 304 without a body when the stored document is one of them.',
};
const FOUND = {
  type: DocumentDto,
  headers: { ETag: { description: 'Strong validator of the stored bytes.', schema: { type: 'string' } } },
} as const;
const NOT_MODIFIED = { status: 304, description: 'The caller has the stored document.' };

/** Documents. The hottest routes of the product: a singleton that takes the project as a parameter. */
@ProjectController('documents')
export class DocumentController {
  constructor(private readonly cache: CacheService) {}

  /** Reads a document. */
  @Get(':doc_id')
  @Requires('read')
  @ApiHeader(IF_NONE_MATCH)
  @ApiOkResponse(FOUND)
  @ApiResponse(NOT_MODIFIED)
  @ApiProblems('not_found')
  async get(
    @Project() { projectId }: RequestProject,
    @Param('doc_id', NamePipe) docId: string,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const found = await this.cache.get(projectId, docId);
    if (!found) throw new AppError('not_found', 'cache.get', 'There is no such document.');
    send(response, found, ifNoneMatch);
  }

  /** Reads one version of a document. */
  @Get(':doc_id/versions/:version')
  @Requires('read')
  @ApiParam({ name: 'version', schema: { type: 'integer', minimum: 0 } })
  @ApiHeader(IF_NONE_MATCH)
  @ApiOkResponse(FOUND)
  @ApiResponse(NOT_MODIFIED)
  @ApiProblems('not_found')
  async getVersion(
    @Project() { projectId }: RequestProject,
    @Param('doc_id', NamePipe) docId: string,
    @Version() version: number,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const found = await this.cache.getVersion(projectId, docId, version);
    if (!found) throw new AppError('not_found', 'cache.getVersion', 'There is no such version.');
    send(response, found, ifNoneMatch);
  }

  /** Caches a document, also as that version. The same version and content again is fine; an older one is refused. */
  @Put(':doc_id')
  @Requires('write')
  @ApiProblems('conflict', 'payload_too_large', 'unsupported_media_type', 'storage_full')
  async put(
    @Project() { projectId }: RequestProject,
    @Param('doc_id', NamePipe) docId: string,
    @Body() { title, content, version, ttl_seconds }: PutDocumentDto,
  ): Promise<DocumentDto> {
    const document = { id: docId, title, content, version };
    await this.cache.put(projectId, document, { ttlSeconds: ttl_seconds });
    return document;
  }

  /** Removes a document with its versions. Versions that other programs wrote follow in the background. */
  @Delete(':doc_id')
  @HttpCode(204)
  @Requires('write')
  async delete(@Project() { projectId }: RequestProject, @Param('doc_id', NamePipe) docId: string): Promise<void> {
    await this.cache.delete(projectId, docId);
  }

  /** Removes all documents of the project: at once for every reader of the API, in the background from memory. */
  @Delete()
  @HttpCode(204)
  @Requires('own')
  async invalidateAll(@Project() { projectId }: RequestProject): Promise<void> {
    await this.cache.invalidateAll(projectId);
  }
}

const ONE_WRITE_BYTES = 16_384;

// The stored bytes as they are: nothing is parsed or written anew on the way.
function send(response: Response, found: StoredDocument, ifNoneMatch: string | undefined): void {
  response.setHeader('ETag', found.etag);
  response.setHeader('Cache-Control', 'private, max-age=0, must-revalidate');
  response.vary('Authorization, Cookie');
  if (ifNoneMatch !== undefined && isListed(found.etag, ifNoneMatch)) {
    response.status(304).end();
    return;
  }
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', found.json.length);
  // As latin1 text, byte for byte, a small body leaves in one write with the headers; a buffer takes a second one.
  if (found.json.length <= ONE_WRITE_BYTES) response.end(found.json.toString('latin1'), 'latin1');
  else response.end(found.json);
}

// RFC 9110, section 13.1.2: `*`, or a list compared weakly. Our tags hold no quote, so ours stands in it only as a whole.
function isListed(etag: string, header: string): boolean {
  return header.trim() === '*' || header.includes(etag);
}
