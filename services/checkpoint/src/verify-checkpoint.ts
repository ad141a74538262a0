// Whether a checkpoint is what it says: every object is read and compared with its hash, every block decoded. A
// drill restores it as well, into engines that are thrown away, and proves the states that come of it. Goes on after
// what is wrong, to tell all of it. Changes nothing in the repository.
import { binaryFromBytes, incarnationKey, limits } from '@statestore/core';
import type {
  BlockReference,
  CheckpointManifest,
  PartitionManifest,
  PartitionSummary,
} from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { readBlock, recordsOf } from './block-object.ts';
import { callOf, type CatalogOptions, showCheckpoint } from './catalog.ts';
import { inParallel } from './in-parallel.ts';
import type { Turn } from './layer-plan.ts';
import { readPartitionManifest } from './manifest-codec.ts';
import { isDamage } from './markers.ts';
import { blockName, manifestName } from './names.ts';
import type { Finding } from './presence.ts';
import type { ObjectName } from './repository.ts';
import { type RestoredPartition, restorePartition, type RestoreTarget } from './restore-partition.ts';

/** An engine for one partition's drill, empty at first. */
export interface ScratchEngine extends RestoreTarget {
  /** Closes it and removes what it took. */
  dispose(): Promise<void>;
}

export interface VerifyOptions extends CatalogOptions {
  readonly id: string;
  /** Opens an engine for each partition, one after the other; undefined: no drill. */
  readonly drill?: ((partition: number) => Promise<ScratchEngine>) | undefined;
  /** Asked every few records while a drill recounts: what it returns is waited for. */
  readonly turn?: Turn;
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  readonly partition: number;
  readonly blocks: number;
  readonly storedBytes: number;
  /** 0 to 1: of what is to be read, a drill included. */
  readonly part: number;
}

export interface Verification {
  readonly id: string;
  /** `none`: it is not complete, or there never was any. */
  readonly state: 'good' | 'damaged' | 'deleted' | 'none';
  /** The first of them; none where it is good. */
  readonly findings: readonly Finding[];
  readonly findingsTotal: number;
  readonly partitions: number;
  /** What was read and found good. */
  readonly blocks: number;
  readonly records: number;
  readonly storedBytes: number;
  /** By partition: those of which the drill proved the state. */
  readonly restored: readonly DrilledPartition[];
}

export interface DrilledPartition extends RestoredPartition {
  readonly partition: number;
}

/** Rejects where the repository or a scratch engine does not do its work, or with the signal's reason. */
export async function verifyCheckpoint(options: VerifyOptions): Promise<Verification> {
  const shown = await showCheckpoint(options);
  const { id } = shown;
  if (shown.state === 'complete') return new Verifier(options, shown.manifest).verify();
  const findings = shown.state === 'damaged' ? [{ object: manifestName(id), what: shown.damage.message }] : [];
  const nothing = { partitions: 0, blocks: 0, records: 0, storedBytes: 0, restored: [] };
  return { id, state: shown.state, findings, findingsTotal: findings.length, ...nothing };
}

class Verifier {
  readonly #options: VerifyOptions;
  readonly #manifest: CheckpointManifest;
  readonly #signal: AbortSignal;
  readonly #findings: Finding[] = [];
  readonly #restored: DrilledPartition[] = [];
  /** A drill reads everything once more. */
  readonly #rounds: number;
  readonly #expectedBytes: number;
  #findingsTotal = 0;
  #blocks = 0;
  #records = 0;
  #storedBytes = 0;
  /** Of both rounds. */
  #readBytes = 0;

  constructor(options: VerifyOptions, manifest: CheckpointManifest) {
    this.#options = options;
    this.#manifest = manifest;
    this.#signal = options.signal ?? new AbortController().signal;
    const stored = manifest.partitions.reduce((sum, { storedBytes }) => sum + Number(storedBytes), 0);
    this.#rounds = options.drill === undefined ? 1 : 2;
    this.#expectedBytes = stored * this.#rounds;
  }

  async verify(): Promise<Verification> {
    const { id, partitions } = this.#manifest;
    let expected = 0;
    for (const summary of partitions) {
      await this.#verifyPartition(summary);
      // Manifests, and what a restore need not read, count as well.
      expected += Number(summary.storedBytes) * this.#rounds;
      this.#tell(summary.partition, Math.max(0, expected - this.#readBytes));
    }
    return {
      id,
      state: this.#findingsTotal === 0 ? 'good' : 'damaged',
      findings: this.#findings,
      findingsTotal: this.#findingsTotal,
      partitions: partitions.length,
      blocks: this.#blocks,
      records: this.#records,
      storedBytes: this.#storedBytes,
      restored: this.#restored,
    };
  }

  async #verifyPartition(summary: PartitionSummary): Promise<void> {
    const partition = await this.#found(summary.manifest, () =>
      readPartitionManifest(this.#options.repository, this.#manifest, summary, callOf(this.#options)),
    );
    if (partition === undefined) return;
    this.#compare(summary, partition);
    const before = this.#findingsTotal;
    for (const { blocks } of partition.layers) await this.#verifyBlocks(summary.partition, blocks);
    // What has a broken block cannot be restored; that was told.
    if (before === this.#findingsTotal) await this.#drill(summary, partition);
  }

  /** What it gives; undefined where it was damaged, which is noted. */
  async #found<T>(object: ObjectName, look: () => Promise<T>): Promise<T | undefined> {
    try {
      this.#signal.throwIfAborted();
      return await look();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#note(object, error.message);
      return undefined;
    }
  }

  #note(object: ObjectName, what: string): void {
    this.#findingsTotal++;
    if (this.#findings.length < limits.checkpointFindingsMax) this.#findings.push({ object, what });
  }

  /** What both manifests say of the partition. */
  #compare(listed: PartitionSummary, { summary }: PartitionManifest): void {
    for (const what of ['generation', 'incarnation', 'position', 'clockNanos', 'revision', 'entries', 'bytes'] as const)
      if (listed[what] !== summary?.[what])
        this.#note(
          listed.manifest,
          `its ${what} is ${summary?.[what]}, and the cluster's manifest says ${listed[what]}`,
        );
    for (const what of ['chain', 'stateHash'] as const)
      if (summary === undefined || Buffer.compare(listed[what], summary[what]) !== 0)
        this.#note(listed.manifest, `its ${what} is not the one of the cluster's manifest`);
  }

  async #verifyBlocks(partition: number, blocks: readonly BlockReference[]): Promise<void> {
    await inParallel(blocks, limits.checkpointTransfersMax, async (block) => {
      const name = blockName(block.owner, block.sha256);
      const records = await this.#found(name, async () => {
        const content = await readBlock(this.#options.repository, block, this.#signal);
        return recordsOf(block, content);
      });
      if (records === undefined) return;
      this.#blocks++;
      this.#records += records.length;
      this.#storedBytes += Number(block.storedBytes);
      this.#tell(partition, Number(block.storedBytes));
    });
  }

  #tell(partition: number, bytes: number): void {
    this.#readBytes += bytes;
    const part = Math.min(1, this.#readBytes / Math.max(1, this.#expectedBytes));
    this.#options.onProgress?.({ partition, blocks: this.#blocks, storedBytes: this.#storedBytes, part });
  }

  async #drill(summary: PartitionSummary, manifest: PartitionManifest): Promise<void> {
    const { repository, drill, turn } = this.#options;
    if (drill === undefined) return;
    const { partition } = summary;
    const scratch = await drill(partition);
    let told = 0;
    try {
      const restored = await this.#found(summary.manifest, () =>
        restorePartition({
          repository,
          manifest,
          target: { restore: (parts, position, accept) => this.#restore(scratch, summary, [parts, position, accept]) },
          // What the engine made of it is what is asked here.
          readBack: true,
          signal: this.#signal,
          ...(turn === undefined ? {} : { turn }),
          onProgress: ({ bytes }) => {
            this.#tell(partition, bytes - told);
            told = bytes;
          },
        }),
      );
      if (restored !== undefined) this.#restored.push({ partition, ...restored });
    } finally {
      await scratch.dispose();
    }
  }

  /** As it is, and made from the log that the manifest names. */
  #restore(
    scratch: ScratchEngine,
    summary: PartitionSummary,
    [parts, position, accept]: Parameters<RestoreTarget['restore']>,
  ): Promise<void> {
    return scratch.restore(parts, position, async (content) => {
      await accept(content);
      const kept = content.get(incarnationKey);
      const incarnation = kept === undefined ? '' : binaryFromBytes(kept);
      if (incarnation !== summary.incarnation)
        this.#note(summary.manifest, `its state is of the log ${incarnation}, and it says ${summary.incarnation}`);
    });
  }
}
