// One partition's part of a checkpoint: its records are read from one point in time, cut into blocks, uploaded
// and verified, and at last named by a manifest of the partition. The checkpoint is not there yet then: that is
// when the cluster's manifest is (commit.ts). What fails leaves objects under the checkpoint's own id, and nothing else.
import { create } from '@bufbuild/protobuf';
import type { PartitionState, StateReader } from '@statestore/core';
import { bytesFromBinary, hashToBytes, limits, loadState, slotRanges, StateStoreError } from '@statestore/core';
import type { Layer, PartitionManifest, PartitionSummary } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { LayerSchema, PartitionManifestSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { CutBlock, CutOptions } from './block-cutter.ts';
import { BlockCutter } from './block-cutter.ts';
import { createObject, getObject } from './block-object.ts';
import { BlockUploads } from './block-uploads.ts';
import { damaged } from './damage.ts';
import type { Turn } from './in-turns.ts';
import { LayerContent } from './layer-content.ts';
import type { LayerPlan } from './layer-plan.ts';
import { incarnationOf, planLayer, stateFormatOf, withoutReplaced, witnessOf } from './layer-plan.ts';
import { decodePartitionManifest, encodePartitionManifest, summaryOf } from './manifest-codec.ts';
import { partitionManifestName } from './names.ts';
import { ownRecordsOf } from './own-records.ts';
import { readPartitionParts } from './partition-reader.ts';
import type { RangeBefore } from './range-changes.ts';
import { PreviousDamaged, sizeOf } from './range-changes.ts';
import type { KeyRange, LayerRecord } from './records.ts';
import type { Repository } from './repository.ts';
import { checkpointFormat, equalBytes } from './sealed.ts';

export interface WritePartitionOptions {
  /** One point in time, until this ends. */
  readonly reader: StateReader;
  readonly cluster: string;
  readonly partition: number;
  /** Half-open, ascending; what the state says of its own slots counts. */
  readonly slots: readonly { readonly start: number; readonly end: number }[];
  /** Epoch of the topology whose reshape changed them last: a state that has not come to it is refused. Default: none did. */
  readonly slotsEpoch?: bigint | undefined;
  /** Of the partition's log. */
  readonly generation: number;
  readonly repository: Repository;
  readonly checkpointId: string;
  /** Of a checkpoint that was listed when this one began: what did not change is taken from there. */
  readonly previous?: PartitionManifest | undefined;
  /** `full`: no layer on `previous`, though blocks of it are used again. `layer`: one wherever it is possible. */
  readonly mode?: 'auto' | 'full' | 'layer';
  /** Of zstd. */
  readonly level?: number;
  /** How large blocks become. */
  readonly cut?: Pick<CutOptions, 'targetBytes' | 'maxBytes'>;
  /** A range that has less content than this in `previous` is written whole into a layer, not compared. */
  readonly compareFromBytes?: number;
  /** Whether uploaded blocks are read again, or only their size is looked at. */
  readonly readBack?: boolean;
  /** Also the deadline. */
  readonly signal: AbortSignal;
  /** Asked every few records: what it returns is waited for. */
  readonly turn?: Turn;
  /** After each block. */
  readonly onProgress?: (progress: WriteProgress) => void;
}

export interface WriteProgress {
  readonly records: number;
  /** Of keys and values. */
  readonly bytes: number;
  /** 0 to 1: of what is to be read. */
  readonly part: number;
  readonly uploadedBytes: number;
  readonly reusedBytes: number;
}

export interface WrittenPartition extends WriteProgress {
  /** For the cluster's manifest. */
  readonly summary: PartitionSummary;
  readonly manifest: PartitionManifest;
  /** Whether a layer was added, and if not, why. */
  readonly plan: LayerPlan;
}

/**
 * Resolves when everything is stored and was verified. Rejects with what the repository says, with
 * `data_corrupt` where the state or what was stored is damaged, `precondition_failed` where another attempt
 * wrote under this id, with the signal's reason where it aborts; `overloaded` while slots of it are about to be handed over,
 * `unavailable` where it has not come to the slots that it is to have, `moved` where it has none any more. Nothing is under
 * way then any more.
 */
export async function writePartition(options: WritePartitionOptions): Promise<WrittenPartition> {
  try {
    return await new PartitionWriter(options).write();
  } catch (error) {
    if (!(error instanceof PreviousDamaged)) throw error;
    // No block of it is used again, either: nobody else looks into them before a restore does.
    const written = await new PartitionWriter({ ...options, previous: undefined }).write();
    return { ...written, plan: { kind: 'full', why: error.message, previousIsDamaged: true } };
  }
}

type LayerParts = AsyncIterable<Iterable<LayerRecord | undefined>> | Iterable<Iterable<LayerRecord | undefined>>;

const noTurn: Turn = () => undefined;

class PartitionWriter {
  readonly #options: WritePartitionOptions;
  readonly #state: PartitionState;
  /** Of the state: without what is another partition's. */
  readonly #reader: StateReader;
  readonly #slots: WritePartitionOptions['slots'];
  readonly #turn: Turn;
  readonly #previous: PartitionManifest | undefined;
  readonly #uploads: BlockUploads;
  readonly #cutter: BlockCutter;
  #records = 0;
  #bytes = 0;
  #expected = 0;
  #steps = 0;
  /** That all layers come to. */
  #recordsInAll = 0;

  constructor(options: WritePartitionOptions) {
    const { previous, partition, cluster } = options;
    this.#options = options;
    this.#state = loadState(options.reader);
    this.#reader = ownRecordsOf(options.reader, this.#state);
    this.#slots = this.#state.slots ?? options.slots;
    checkSlots(this.#state, options);
    this.#turn = options.turn ?? noTurn;
    const isMine = previous?.summary?.partition === partition && previous.cluster === cluster;
    this.#previous = isMine ? previous : undefined;
    this.#uploads = new BlockUploads({
      repository: options.repository,
      checkpointId: options.checkpointId,
      level: options.level ?? limits.checkpointLevelDefault,
      readBack: options.readBack ?? true,
      previous: this.#previous,
      signal: options.signal,
    });
    this.#cutter = new BlockCutter({ ...options.cut, allocate: this.#uploads.allocate });
  }

  async write(): Promise<WrittenPartition> {
    const { signal } = this.#options;
    signal.throwIfAborted();
    const plan = await this.#plan();
    const layers = await this.#layers(plan);
    const manifest = this.#manifest(layers);
    const bytes = encodePartitionManifest(manifest);
    await this.#storeManifest(bytes);
    const { partition, checkpointId } = this.#options;
    const read = decodePartitionManifest(checkpointId, partition, bytes);
    const summary = summaryOf(read, bytes, BigInt(this.#uploads.uploadedBytes));
    return { ...this.#progress(1), summary, manifest, plan };
  }

  async #plan(): Promise<LayerPlan> {
    const { mode } = this.#options;
    if (mode === 'full') return { kind: 'full', why: 'it was asked for' };
    const before = this.#previous?.summary;
    // Those that it had before, too: what was written to them in between, another partition's change records tell.
    const sameSlots =
      slotRanges.isSameSlots(this.#slots, before?.slots ?? []) && before?.slotsEpoch === this.#state.slotsEpoch;
    if (before !== undefined && !sameSlots) return { kind: 'full', why: 'the partition had other slots' };
    return planLayer(this.#reader, this.#state, this.#previous, { turn: this.#turn, whereWorth: mode !== 'layer' });
  }

  async #layers(plan: LayerPlan): Promise<Layer[]> {
    const reader = this.#reader;
    const state = this.#state;
    if (plan.kind === 'same') {
      this.#recordsInAll = Number(this.#previous!.records);
      return this.#previous!.layers;
    }
    if (plan.kind === 'full') {
      this.#expected = state.entries;
      const layer = await this.#layer([reader.range({})], () => []);
      this.#recordsInAll = this.#records;
      return [layer];
    }
    this.#expected = plan.keys;
    const before = (range: KeyRange): RangeBefore => this.#before(range);
    const { compareFromBytes = limits.checkpointCompareFromBytes } = this.#options;
    const content = new LayerContent({ reader, state, plan, before, compareFromBytes });
    const layer = await this.#layer(content.parts(), () => content.replaced);
    this.#recordsInAll = state.entries + content.others;
    return [...this.#previous!.layers.map((older) => withoutReplaced(older, content.replaced)), layer];
  }

  #before(range: KeyRange): RangeBefore {
    const { repository, signal } = this.#options;
    const manifest = this.#previous!;
    return { ...sizeOf(manifest, range), read: () => readPartitionParts({ repository, manifest, range, signal }) };
  }

  async #layer(parts: LayerParts, replaced: () => readonly KeyRange[]): Promise<Layer> {
    try {
      for await (const part of parts) await this.#read(part);
      await this.#add(this.#cutter.finish());
    } catch (error) {
      // What is under way ends first: nobody is left to hear of it later.
      await this.#uploads.finish().catch(() => undefined);
      throw error;
    }
    const blocks = await this.#uploads.finish();
    return create(LayerSchema, {
      blocks,
      replaces: replaced().map(({ start, end }) => ({ start: bytesFromBinary(start), end: bytesFromBinary(end) })),
      records: BigInt(this.#records),
    });
  }

  async #read(records: Iterable<LayerRecord | undefined>): Promise<void> {
    const { signal } = this.#options;
    for (const record of records) {
      if (record !== undefined) {
        const { key, value } = record;
        this.#records++;
        this.#bytes += key.length + (value === undefined ? 0 : value.length);
        const block = this.#cutter.add(key, value);
        if (block !== undefined) {
          await this.#add(block);
          this.#tell();
        }
      }
      if (++this.#steps % limits.checkpointTurnRecords !== 0) continue;
      const pause = this.#turn();
      if (pause === undefined) continue;
      await pause;
      signal.throwIfAborted();
    }
  }

  async #add(block: CutBlock | undefined): Promise<void> {
    if (block !== undefined) await this.#uploads.add(block);
    this.#options.signal.throwIfAborted();
  }

  #tell(): void {
    // Records beside the entries make it a little more than all: what is left of them is not known.
    this.#options.onProgress?.(this.#progress(Math.min(this.#records / Math.max(1, this.#expected), 0.99)));
  }

  #progress(part: number): WriteProgress {
    const { uploadedBytes, reusedBytes } = this.#uploads;
    return { records: this.#records, bytes: this.#bytes, part, uploadedBytes, reusedBytes };
  }

  #manifest(layers: Layer[]): PartitionManifest {
    const { reader, partition, generation, checkpointId, cluster } = this.#options;
    const state = this.#state;
    const witness = witnessOf(reader);
    return create(PartitionManifestSchema, {
      format: checkpointFormat,
      checkpoint: checkpointId,
      cluster,
      stateFormat: stateFormatOf(state),
      layers,
      records: BigInt(this.#recordsInAll),
      ...(witness === undefined ? {} : { witness }),
      summary: {
        partition,
        slots: this.#slots.map(({ start, end }) => ({ start, end })),
        slotsEpoch: state.slotsEpoch,
        generation,
        incarnation: incarnationOf(reader),
        position: state.position,
        clockNanos: state.clockNanos,
        chain: hashToBytes(state.chain),
        stateHash: hashToBytes(state.stateHash),
        revision: state.revision,
        entries: BigInt(state.entries),
        bytes: BigInt(state.bytes),
      },
    });
  }

  async #storeManifest(bytes: Uint8Array): Promise<void> {
    const { repository, partition, checkpointId, signal } = this.#options;
    const name = partitionManifestName(checkpointId, partition);
    const attemptsMax = limits.checkpointUploadAttempts;
    const outcome = await createObject(repository, name, bytes, { attemptsMax, signal });
    const stored = await getObject(repository, name, signal);
    if (equalBytes(stored, bytes)) return;
    if (outcome === 'created') throw damaged(name, 'it is not what was written');
    throw new StateStoreError('precondition_failed', `${name}: another attempt wrote it already`, {
      hint: 'begin a checkpoint with another id',
    });
  }
}

/**
 * While slots are fenced, a state would be one of a few seconds in which they are nobody's, and what they went into would not
 * lead on from it.
 */
function checkSlots(state: PartitionState, { partition, slotsEpoch = 0n }: WritePartitionOptions): void {
  const { position } = state;
  if (state.fenced !== undefined) {
    const message = `partition ${partition} is about to hand over slots, since its position ${state.fenced.position}`;
    throw new StateStoreError('overloaded', message, { retryAfterMs: limits.checkpointBusyMs });
  }
  if (state.slotsEpoch < slotsEpoch) {
    const message = `at ${position} partition ${partition} has not come to its slots of epoch ${slotsEpoch}`;
    throw new StateStoreError('unavailable', message, { retryAfterMs: limits.checkpointBusyMs });
  }
  if (state.slots?.length === 0)
    throw new StateStoreError('moved', `at ${position} partition ${partition} has given all of its slots away`);
}
