import { Module, type OnModuleInit } from '@nestjs/common';
import { PurgeRegistry } from '../purge/purge.registry.js';
import { SessionAdminController } from './session-admin.controller.js';
import { SessionController } from './session.controller.js';
import { SessionCredential } from './session.credential.js';
import { SessionKeys } from './session.keys.js';
import { SessionScripts } from './session.scripts.js';
import { SessionService } from './session.service.js';

/** Server-side sessions, as a feature and as a credential. */
@Module({
  controllers: [SessionController, SessionAdminController],
  providers: [SessionKeys, SessionScripts, SessionService, SessionCredential],
  exports: [SessionService],
})
export class SessionModule implements OnModuleInit {
  constructor(
    private readonly purges: PurgeRegistry,
    private readonly sessions: SessionService,
  ) {}

  onModuleInit(): void {
    this.purges.register('session', (projectId) => this.sessions.endAll(projectId));
  }
}
