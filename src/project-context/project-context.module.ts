import { Global, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { ProjectContext } from './project-context.js';
import { RouteAudit } from './route-audit.js';

/** The project of a request, for all modules. The guard itself is registered by AppModule, first of the global guards. */
@Global()
@Module({ imports: [DiscoveryModule], providers: [ProjectContext, RouteAudit], exports: [ProjectContext, RouteAudit] })
export class ProjectContextModule {}
