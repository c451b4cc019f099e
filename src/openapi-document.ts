import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';

/** The OpenAPI document of the running code: the same for `/docs`, `/docs-json` and `openapi.json`. */
export function createDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Document API')
    .setDescription(
      'Cache, quotas, live progress, queues, sessions and locks of an AI document product; each project strictly isolated.',
    )
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'bearer')
    .addCookieAuth('session', { type: 'apiKey', in: 'cookie', name: 'session' }, 'session')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}_${method}`,
  });
  return withOptionalDefaults(document);
}

// A field with a default may be left out; the compiler plugin only sees that it is always there afterwards.
function withOptionalDefaults(document: OpenAPIObject): OpenAPIObject {
  for (const schema of Object.values(document.components?.schemas ?? {})) {
    if (!('properties' in schema) || !schema.required) continue;
    const required = schema.required.filter((name) => !('default' in (schema.properties?.[name] ?? {})));
    if (required.length > 0) schema.required = required;
    else delete schema.required;
  }
  for (const operation of Object.values(document.paths).flatMap((path) =>
    Object.values(path as Record<string, OperationLike>),
  )) {
    for (const parameter of operation.parameters ?? []) {
      if (parameter.schema && 'default' in parameter.schema) parameter.required = false;
    }
  }
  return document;
}

interface OperationLike {
  parameters?: { required?: boolean; schema?: object }[];
}

/** Serves the page at `/docs` and the document at `/docs-json`; both made at the first visit. */
export function serveDocs(app: INestApplication): void {
  SwaggerModule.setup('docs', app, () => createDocument(app), { jsonDocumentUrl: 'docs-json' });
}
