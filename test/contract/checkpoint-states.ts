// Small states and their checkpoints, for tests of what a repository holds.
import type { PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { MemoryRepository, WritePartitionOptions, WrittenPartition } from '@statestore/checkpoint';
import { decodePartitionManifest, partitionManifestName, writePartition } from '@statestore/checkpoint';
import type { Command, Operation } from '@statestore/core';
import { bytesFromBinary, incarnationKey } from '@statestore/core';
import type { Step } from '../sim/arbitrary-commands.ts';
import { logOf, Replica } from '../sim/replica.ts';

export const cluster = 'green';
export const incarnation = '6f1f0b8e-1111-4222-8333-444455556666';

export function putsOf(store: string, keys: readonly string[], text: string, ttlMs = 0): Command {
  const operations = keys.map((key): Operation => ({
    kind: 'put',
    key,
    condition: { kind: 'none' },
    value: bytesFromBinary(`${text} of ${key}`),
    contentType: 'text/plain',
    ttl: ttlMs === 0 ? { kind: 'never' } : { kind: 'after', ms: ttlMs },
  }));
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations } };
}

const keys = (count: number): string[] => Array.from({ length: count }, (_, n) => `key-${n}`);

const stamp = { session: 'session-number-1', counter: 1, firstUnanswered: 0, opens: true };
const idempotency = { id: 'idempotency-id-1', fingerprint: 'fingerprint-of-1' };

/** Every kind of record: stores, a cleared one that is half swept, entries that expire, a session, an idempotency key. */
export function firstCommands(): Command[][] {
  return [
    [putsOf('users', keys(40), 'first'), putsOf('sessions', keys(12), 'expiring', 60_000)],
    [putsOf('gone', keys(20), 'cleared')],
    [
      { ...putsOf('users', ['stamped'], 'stamped'), stamp },
      { ...putsOf('users', ['once'], 'once'), idempotency },
    ],
    [{ body: { kind: 'clear', store: 'gone' } }],
    [{ body: { kind: 'sweep', limit: 7, changesKeptBytes: 1e9, countStore: '' } }],
  ];
}

export function laterCommands(): Command[][] {
  return [
    [putsOf('users', ['key-3', 'key-30', 'new'], 'second'), putsOf('orders', keys(5), 'first')],
    [
      {
        body: {
          kind: 'mutate',
          store: 'users',
          atomic: false,
          checks: [],
          operations: [{ kind: 'delete', key: 'key-7', condition: { kind: 'none' } }],
        },
      },
    ],
    [{ body: { kind: 'sweep', limit: 9, changesKeptBytes: 1e9, countStore: '' } }],
  ];
}

/** A replica after these batches; `apply` goes on from it. */
export class States {
  readonly replica = new Replica();
  readonly #steps: Step[] = [];

  constructor(first: readonly (readonly Command[])[] = firstCommands()) {
    this.apply(first);
    // As a node does, with the first batch.
    if (first.length > 0) this.replica.records.write(new Map([[incarnationKey, bytesFromBinary(incarnation)]]));
  }

  apply(batches: readonly (readonly Command[])[], elapsedMs = 10): void {
    const before = this.#steps.length;
    this.#steps.push(...batches.map((commands) => ({ elapsedMs, commands })));
    for (const record of logOf(this.#steps).slice(before)) this.replica.apply(record);
  }
}

export const { signal } = new AbortController();

export async function checkpointOf(
  states: States,
  repository: MemoryRepository,
  checkpointId: string,
  options: Partial<WritePartitionOptions> = {},
): Promise<WrittenPartition> {
  const slots = [{ start: 0, end: 4096 }];
  const cut = { targetBytes: 600, maxBytes: 2400 };
  const place = { cluster, partition: 3, slots, generation: 1, signal, cut };
  return writePartition({ ...place, reader: states.replica.records, repository, checkpointId, ...options });
}

export async function manifestOf(
  repository: MemoryRepository,
  checkpointId: string,
  expected: { readonly partition?: number; readonly cluster?: string } = {},
): Promise<PartitionManifest> {
  const partition = expected.partition ?? 3;
  const bytes = await repository.get(partitionManifestName(checkpointId, partition));
  return decodePartitionManifest(checkpointId, partition, bytes!, { cluster: expected.cluster ?? cluster });
}
