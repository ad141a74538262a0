// A partition of a checkpoint into an engine, all or nothing: its entries are counted and hashed as they go in, and
// before the content comes in force it is loaded as a state, recounted, and compared with what the manifest says it is.
// What is read back of it, and what is not: docs/decisions/0012-entries-counted-as-they-pass.md.
import type { BinaryString, PartitionState, StateRange, StateReader } from '@statestore/core';
import { EntryTally, hashToBytes, hashToHex, loadState, verifySteps } from '@statestore/core';
import type { PartitionManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { damaged } from './damage.ts';
import type { Turn } from './in-turns.ts';
import { smallParts } from './in-turns.ts';
import { partitionManifestName } from './names.ts';
import type { ReadProgress } from './partition-reader.ts';
import { readPartitionParts } from './partition-reader.ts';
import type { StateRecord } from './records.ts';
import type { ObjectName, Repository } from './repository.ts';
import { equalBytes } from './sealed.ts';

/** What is restored into: as an Engine of services/node does it. */
export interface RestoreTarget {
  restore(
    parts: AsyncIterable<readonly StateRecord[]>,
    position: bigint,
    accept: (content: ContentReader) => Promise<void>,
  ): Promise<void>;
}

export interface ContentReader extends StateReader {
  keys(range: StateRange): IterableIterator<BinaryString>;
}

export interface RestorePartitionOptions {
  readonly repository: Repository;
  readonly manifest: PartitionManifest;
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly target: RestoreTarget;
  readonly signal: AbortSignal;
  /** Reads all entries back from the target, where not only the checkpoint is to be proved: a third more CPU. */
  readonly readBack?: boolean;
  /** Asked every few records: what it returns is waited for. */
  readonly turn?: Turn;
  /** After each block. */
  readonly onProgress?: (progress: ReadProgress) => void;
}

export interface RestoredPartition {
  readonly position: bigint;
  readonly records: number;
  readonly entries: number;
  /** 32 hexadecimal digits each. */
  readonly chain: string;
  readonly stateHash: string;
}

/**
 * Resolves when the content is in force. Rejects with `data_corrupt` naming what is damaged, with what the
 * repository or the engine says, with the signal's reason: the engine is then as it was before.
 */
export async function restorePartition(options: RestorePartitionOptions): Promise<RestoredPartition> {
  const { manifest, target } = options;
  const name = partitionManifestName(manifest.checkpoint, manifest.summary!.partition);
  let records = 0;
  const tally = options.readBack === true ? undefined : new EntryTally();
  async function* counted(): AsyncGenerator<readonly StateRecord[], void> {
    for await (const part of smallParts(readPartitionParts(options), options)) {
      records += part.length;
      if (tally !== undefined) for (const { key, value } of part) tally.record(key, value);
      yield part;
    }
  }
  let state: PartitionState | undefined;
  await target.restore(counted(), manifest.summary!.position, async (content) => {
    state = await provenState(name, manifest.summary!, content, { ...options, tally });
  });
  const { position, entries, chain, stateHash } = state!;
  return { position, records, entries, chain: hashToHex(chain), stateHash: hashToHex(stateHash) };
}

/** What a checkpointed state says of itself. */
export type Proven = Pick<
  PartitionSummary,
  'position' | 'clockNanos' | 'revision' | 'entries' | 'bytes' | 'chain' | 'stateHash'
>;

export interface ProofOptions {
  readonly signal: AbortSignal;
  readonly turn?: Turn | undefined;
  /** Of all records as they went in; undefined: they are read back. */
  readonly tally?: EntryTally | undefined;
}

/** The state that the content is. Throws `data_corrupt` where it is none, or not the one that was checkpointed. */
export async function provenState(
  name: ObjectName,
  summary: Proven,
  content: StateReader,
  options: ProofOptions,
): Promise<PartitionState> {
  const state = loadState(content);
  for (const [what, found, wanted] of [
    ['position', state.position, summary.position],
    ['clock', state.clockNanos, summary.clockNanos],
    ['revision', state.revision, summary.revision],
    ['number of entries', BigInt(state.entries), summary.entries],
    ['size of all entries', BigInt(state.bytes), summary.bytes],
  ] as const)
    if (found !== wanted) throw damaged(name, `its blocks have the ${what} ${found}, and it says ${wanted}`);
  for (const [what, found, wanted] of [
    ['chain', hashToBytes(state.chain), summary.chain],
    ['state hash', hashToBytes(state.stateHash), summary.stateHash],
  ] as const)
    if (!equalBytes(found, wanted)) throw damaged(name, `its blocks have another ${what} than it says`);
  const differences = await recounted(state, content, options);
  if (differences.length === 0) return state;
  throw damaged(name, `its records make no state: ${differences[0]} (${differences.length} such differences)`);
}

async function recounted(
  state: PartitionState,
  content: StateReader,
  { signal, turn, tally }: ProofOptions,
): Promise<readonly string[]> {
  const steps = verifySteps(state, content, tally);
  try {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      const pause = turn?.();
      if (pause === undefined) continue;
      await pause;
      signal.throwIfAborted();
    }
  } finally {
    steps.return([]);
  }
}
