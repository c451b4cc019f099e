import { Module } from '@nestjs/common';
import { SessionModule } from '../session/session.module.js';
import { ProgressHub } from './hub/progress-hub.js';
import { ProgressIngesters } from './ingest/progress-ingesters.js';
import { OperationsController } from './operations.controller.js';
import { ProgressController } from './progress.controller.js';
import { ProgressKeys } from './progress.keys.js';
import { ProgressMetrics } from './progress.metrics.js';
import { ProgressScripts } from './progress.scripts.js';
import { ProgressService } from './progress.service.js';
import { ServerRun } from './server-run.js';
import { EventStreams } from './stream/event-streams.js';
import { OpenStreams } from './stream/open-streams.js';
import { StreamPlaces } from './stream/stream-places.js';
import { StreamTickets } from './ticket/stream-tickets.js';
import { TicketCredential } from './ticket/ticket.credential.js';

/** Live progress: a log per project, event streams that lose nothing, and the state of operations. */
@Module({
  imports: [SessionModule],
  controllers: [ProgressController, OperationsController],
  providers: [
    ProgressKeys,
    ProgressMetrics,
    ServerRun,
    ProgressScripts,
    ProgressHub,
    ProgressIngesters,
    ProgressService,
    StreamTickets,
    TicketCredential,
    StreamPlaces,
    OpenStreams,
    EventStreams,
  ],
  exports: [ProgressService],
})
export class ProgressModule {}
