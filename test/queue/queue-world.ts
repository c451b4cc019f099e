import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { ProjectId } from '../../src/common/project-id.js';
import { LeaseService } from '../../src/queue/lease.service.js';
import { Parking } from '../../src/queue/parking.js';
import { QueueService } from '../../src/queue/queue.service.js';
import { type Caller, TestApp } from '../support/app.js';

export const QUEUE = '/queues/embeddings';
export const JOBS = `${QUEUE}/jobs`;
export const LEASES = `${QUEUE}/leases`;

export interface Task {
  readonly doc_id: string;
  readonly chunks: string[];
}

export interface Leased {
  readonly job_id: string;
  readonly lease_token: string;
  readonly attempt: number;
  readonly task: Task;
}

export const task = (doc_id: string, ...chunks: string[]): Task => ({ doc_id, chunks });
export const docs = (jobs: readonly Leased[]): string[] => jobs.map((job) => job.task.doc_id);

/** The owner of a project, who does with its queue `embeddings` what the API offers; another one for each test. */
export class QueueWorld {
  owner!: Caller;

  private constructor(private readonly started: () => TestApp) {}

  /** For the tests of a file: an application that starts before and ends after them. */
  static ofFile(): QueueWorld {
    let app: TestApp;
    beforeAll(async () => {
      app = await TestApp.start();
    });
    afterAll(() => app.close());
    const world = new QueueWorld(() => app);
    beforeEach(() => world.fresh());
    return world;
  }

  /** On an application of its own. */
  static async of(app: TestApp): Promise<QueueWorld> {
    const world = new QueueWorld(() => app);
    await world.fresh();
    return world;
  }

  get app(): TestApp {
    return this.started();
  }

  get queues(): QueueService {
    return this.app.get(QueueService);
  }

  get leasing(): LeaseService {
    return this.app.get(LeaseService);
  }

  get parking(): Parking {
    return this.app.get(Parking);
  }

  get projectId(): ProjectId {
    return this.owner.projectId as ProjectId;
  }

  /** What other programs see. */
  get list(): string {
    return this.app.keys.key(this.projectId, 'queue', 'embeddings');
  }

  /** Another project. */
  async fresh(): Promise<void> {
    this.owner = await this.app.caller('owner');
  }

  /** @returns the job's id. */
  async add(doc: string, options: object = {}): Promise<string> {
    const { body } = await this.owner
      .post(JOBS)
      .send({ task: task(doc, 'x'), options })
      .expect(201);
    return body.job_id as string;
  }

  async lease(options: object = {}): Promise<Leased[]> {
    const answer = await this.owner.post(LEASES).send(options);
    return answer.status === 204 ? [] : (answer.body.jobs as Leased[]);
  }

  ack(job: Pick<Leased, 'job_id' | 'lease_token'>, more: object = {}) {
    return this.owner.post(`${JOBS}/${job.job_id}/ack`).send({ lease_token: job.lease_token, ...more });
  }

  nack(job: Pick<Leased, 'job_id' | 'lease_token'>, more: object = {}) {
    return this.owner.post(`${JOBS}/${job.job_id}/nack`).send({ lease_token: job.lease_token, error: 'x', ...more });
  }

  async job(id: string): Promise<Record<string, unknown>> {
    return (await this.owner.get(`${JOBS}/${id}`).expect(200)).body as Record<string, unknown>;
  }

  async state(id: string): Promise<string> {
    return (await this.job(id))['state'] as string;
  }

  async counts(): Promise<Record<string, unknown>> {
    return (await this.owner.get(QUEUE).expect(200)).body as Record<string, unknown>;
  }
}
