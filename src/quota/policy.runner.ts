import { Injectable } from '@nestjs/common';
import type { ProjectId } from '../common/project-id.js';
import { monotonicMs } from '../common/time.js';
import type { LimitField } from './limits.registry.js';
import { type Known, PolicyMemory, RECHECK_MS } from './policy.memory.js';

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

const NO_CHECKS: Checks = { checks: 0, policies: [] };

function checksOf(known: readonly Known[]): Checks {
  return { checks: known.length, policies: known.flatMap(({ field, own }) => [field, own]) };
}

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
      const known = this.memory.get(projectId, fields);
      const old = known.filter((policy) => at - policy.at >= RECHECK_MS);
      const checks = old.length === 0 ? NO_CHECKS : checksOf(old);
      const reply = (await call(known, checks)) as Reply;
      if (old.length === 0 && reply[0] < MORE_IS_DUE) return { known, reply };
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
