import { describe, expect, it } from 'vitest';
import { newProject } from '../../test/support/projects.js';
import { EmbeddingsTaskDto } from './dto/task.dto.js';
import { encodeJob } from './task-codec.js';
import type { NewJob } from './queue.types.js';

const encode = (options: Partial<NewJob>) => () =>
  encodeJob(newProject(), EmbeddingsTaskDto, { task: { doc_id: 'd', chunks: [] }, ...options }, 'task');

describe('a job that a module adds', () => {
  it.each([0, 101, 1.5, NaN])('has 1 to 100 attempts, not %s', (maxAttempts) => {
    expect(encode({ maxAttempts })).toThrow(/max_attempts/);
  });

  it('has a dedupe key and an operation of at most 128 characters', () => {
    expect(encode({ dedupeKey: 'k'.repeat(129) })).toThrow(/at most 128/);
    expect(encode({ operationId: 'o'.repeat(129) })).toThrow(/at most 128/);
    expect(encode({ dedupeKey: 'k'.repeat(128), operationId: 'o'.repeat(128), maxAttempts: 100 })).not.toThrow();
  });
});
