import { randomBytes } from 'node:crypto';
import { Problem, type ProjectApi } from './api.js';
import type { Document } from './documents.js';
import { nearest } from './nearest.js';
import { EmbeddingRun, type Outcome } from './run.js';
import type { Screen } from './screen.js';

/** What the demo needs to know. */
export interface DemoOptions {
  readonly api: ProjectApi;
  readonly documents: readonly Document[];
  /** Asked at the end; the title of the first document when it is missing. */
  readonly question?: string;
  readonly screen: Screen;
  /** Called again and again while jobs wait and no worker takes them. */
  readonly onIdle?: () => void;
}

const UPLOADS_AT_ONCE = 8;
const ANSWERS = 3;
const ANSWER_CHARS = 400;

/**
 * The main job as a frontend and a service do it: a session, documents into the cache, their chunks into the queue, the
 * event stream while a worker embeds them, and a question answered by the nearest chunks.
 *
 * @returns whether everything was embedded.
 */
export async function demo({ api, documents, question, screen, onIdle }: DemoOptions): Promise<boolean> {
  const session = await api.call<{ token: string }>('POST', '/sessions', {});
  const user = api.as(`Session ${session.body.token}`);
  // The bar has an end when all is queued, and no business with the question.
  let embedding = false;
  const run = new EmbeddingRun(user, `demo-${randomBytes(4).toString('hex')}`, {
    progressed: (done, total) => embedding && screen.bar(done, total, 'chunks'),
    troubled: (reason) => screen.line(`Retrying    ${reason}`),
    idle: (waiting) => {
      screen.line(`Queue       ${waiting} jobs wait for a worker (npm run worker)`);
      onIdle?.();
    },
  });
  try {
    const newer = await upload(user, documents, run);
    screen.line(
      `Documents   ${documents.length} cached${newer > 0 ? `, ${newer} of them were there in a newer version` : ''}`,
    );
    screen.line(`Queue       ${run.chunks} chunks in ${run.jobs} jobs`);
    embedding = true;
    const outcomes = await run.outcomes();
    const seconds = (performance.now() - run.workSince) / 1000;
    embedding = false;
    screen.endBar();
    const failed = outcomes.filter(({ failure }) => failure !== undefined);
    for (const { docId, failure } of failed) screen.line(`Failed      ${docId}: ${failure}`);
    screen.line(`Embedded    ${work(outcomes, seconds)}`);

    const asked = question ?? documents[0]?.title ?? '';
    const vector = await embed(run, asked);
    screen.line(`Quota       ${await quota(user)}`);
    screen.line(`\n? ${asked}${question === undefined ? '  (the first title; ask with --ask "…")' : ''}`);
    if (vector) screen.line(answer(vector, documents, outcomes));
    return failed.length === 0 && vector !== undefined;
  } finally {
    run.stop();
    await user.call('DELETE', '/sessions/current').catch(() => undefined);
  }
}

/** Caches each document and queues its chunks. @returns how many were in the cache in a newer version. */
async function upload(api: ProjectApi, documents: readonly Document[], run: EmbeddingRun): Promise<number> {
  const left = [...documents];
  let newer = 0;
  const next = async (): Promise<void> => {
    for (let document = left.shift(); document; document = left.shift()) {
      const { id, title, content, version, chunks } = document;
      await api.call('PUT', `/documents/${id}`, { title, content, version }).catch((error: unknown) => {
        if (!(error instanceof Problem && error.code === 'conflict')) throw error;
        newer += 1;
      });
      // The headings say what a chunk is about: its vector knows them.
      const texts = chunks.map(({ heading, text }) => `${heading}\n${text}`);
      await run.enqueue(id, texts);
    }
  };
  await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, next));
  return newer;
}

/** The question goes the way of the documents: only the worker has the model. */
async function embed(run: EmbeddingRun, question: string): Promise<Float32Array | undefined> {
  await run.enqueue(run.id, [question]);
  return (await run.outcomes()).find(({ docId }) => docId === run.id)?.vectors[0];
}

function work(outcomes: readonly Outcome[], seconds: number): string {
  const chunks = outcomes.reduce((sum, { vectors }) => sum + vectors.length, 0);
  const again = outcomes.filter(({ attempts }) => attempts > 1).length;
  const speed = `${chunks} chunks in ${seconds.toFixed(1)} s: ${Math.round(chunks / seconds)} a second`;
  return again === 0 ? speed : `${speed}; ${again} of ${outcomes.length} jobs were delivered again`;
}

async function quota(api: ProjectApi): Promise<string> {
  interface Quota {
    readonly windows: Readonly<Record<string, { limit: number; used: number; remaining: number; resets_at: string }>>;
  }
  const { body } = await api.call<Quota>('GET', '/quotas/embeddings');
  return Object.entries(body.windows)
    .map(
      ([window, { limit, used, resets_at }]) => `${used} of ${limit} embeddings in this ${window}, until ${resets_at}`,
    )
    .join('; ');
}

function answer(question: Float32Array, documents: readonly Document[], outcomes: readonly Outcome[]): string {
  const byId = new Map(documents.map((document) => [document.id, document]));
  const embedded = outcomes.flatMap(({ docId, offset, vectors }) =>
    vectors.map((vector, i) => ({ vector, path: byId.get(docId)!.path, ...byId.get(docId)!.chunks[offset + i]! })),
  );
  return nearest(question, embedded, ANSWERS)
    .map(
      ({ score, path, heading, text }, i) => `\n${i + 1}. ${score.toFixed(2)}  ${path}  ${heading}\n${excerpt(text)}`,
    )
    .join('\n');
}

function excerpt(text: string): string {
  const cut = text.length > ANSWER_CHARS ? `${text.slice(0, ANSWER_CHARS).replace(/\s+\S*$/, '')} …` : text;
  return cut.replace(/^/gm, '   ');
}
