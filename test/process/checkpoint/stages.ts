// What processes of a test of checkpoints share with it: which stage one kills itself at, what another one reports.
import { defaultTtl, noCondition } from '@statestore/core';
import type { NodeService } from '@statestore/link';

export const stages = [
  'requested',
  'before its checkpoint begins',
  'before the first partition',
  'between partitions',
  'before the manifest',
  'after the manifest',
  'before completed',
] as const;
/** Beside them, of one that is frozen. */
export type Stage = (typeof stages)[number] | 'before it deletes';

/** What a process that clears up did. */
export interface ClearingReport {
  readonly rounds: number;
  /** Why rounds removed nothing. */
  readonly blocked: readonly string[];
  readonly deleted: number;
  readonly blocks: number;
  readonly abandoned: number;
}

export const cluster = 'killed';
export const paces = { pollMs: 50, heartbeatMs: 200, silenceMs: 1500, retryMs: 100 };

export async function fill(node: NodeService, partitions: number): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const operations = Array.from({ length: 10 }, (_, i) => ({
      kind: 'put' as const,
      key: `k${i}`,
      value: new Uint8Array(200).fill(i),
      contentType: '',
      condition: noCondition,
      ttl: defaultTtl,
    }));
    await node.propose(partition, { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations } });
  }
}
