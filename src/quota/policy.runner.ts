import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import type { LimitField } from './limits.registry.js';
import { type Known, PolicyMemory } from './policy.memory.js';

/** Arguments of a script that compares the policies which the process has not met within the last second. */
export interface Checks {
  readonly checks: number;
  /** Field and policy of each. */
  readonly policies: readonly string[];
}

// First figure of a reply: see the headers of the scripts.
const MORE_IS_DUE = 2;
const OTHER_POLICY = 4;
const HAS_MOVED = 5;

/** Runs a script by the policies that the process knows, and once more where Redis knows better: then it had done nothing. */
@Injectable()
export class PolicyRunner {
  constructor(private readonly memory: PolicyMemory) {}

  /** @returns the reply, and the policies by which it was given. */
  async run<Reply extends readonly [number, ...unknown[]]>(
    projectId: ProjectId,
    fields: readonly LimitField[],
    call: (known: readonly Known[], checks: Checks) => Promise<unknown>,
  ): Promise<{ known: readonly Known[]; reply: Reply }> {
    for (;;) {
      const at = monotonicMs();
      const known = this.memory.get(projectId, fields, at);
      const old = known.filter(({ fresh }) => !fresh);
      const reply = (await call(known, {
        checks: old.length,
        policies: old.flatMap(({ field, own }) => [field, own]),
      })) as Reply;
      if (reply[0] === HAS_MOVED) this.memory.forget(projectId);
      else {
        const differs = reply[0] === OTHER_POLICY;
        old.forEach(({ field, own }, i) => {
          this.memory.learn(projectId, field, differs ? (reply[i + 1] as string) : own, at);
        });
        if (!differs && reply[0] !== MORE_IS_DUE) return { known, reply };
      }
    }
  }
}
