// A partition's records out of a checkpoint, in the order of their keys: blocks are fetched ahead, checked against
// the manifest, and their layers merged. That the records make a state is proved by whoever restores them
// (restore-partition.ts); that they are those that were written, here.
import type { BinaryString } from '@statestore/core';
import { binaryFromBytes, limits } from '@statestore/core';
import type { BlockReference, Layer, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { BlockCache } from './block-cache.ts';
import { downloadBlocks } from './block-downloads.ts';
import { recordsOf } from './block-object.ts';
import { damaged } from './damage.ts';
import type { LayerSource } from './layer-merge.ts';
import { mergeLayers, unionOf } from './layer-merge.ts';
import { blockName, partitionManifestName } from './names.ts';
import type { KeyRange, LayerRecord, StateRecord } from './records.ts';
import type { Repository } from './repository.ts';

export interface ReadPartitionOptions {
  readonly repository: Repository;
  /** One that was decoded, and so checked. */
  readonly manifest: PartitionManifest;
  /** Only these records. */
  readonly range?: KeyRange;
  /** For who reads many ranges. */
  readonly cache?: BlockCache;
  readonly signal: AbortSignal;
  /** After each block. */
  readonly onProgress?: (progress: ReadProgress) => void;
}

export interface ReadProgress {
  readonly blocks: number;
  /** Of the objects, as they are stored. */
  readonly bytes: number;
  /** 0 to 1: of the bytes that are to be read. */
  readonly part: number;
}

/** As readPartitionParts, one by one. */
export async function* readPartition(options: ReadPartitionOptions): AsyncGenerator<StateRecord, void> {
  for await (const part of readPartitionParts(options)) yield* part;
}

/**
 * The records in parts, ascending by key over all of them. To be left at any time by `return`. Throws
 * `data_corrupt` naming the object that is damaged or missing, what the repository says, the signal's reason.
 */
export async function* readPartitionParts(options: ReadPartitionOptions): AsyncGenerator<readonly StateRecord[], void> {
  const { manifest, range } = options;
  const layers = manifest.layers.map((layer) => rangesAnd(layer));
  const wanted = layers.map(({ layer }, at) => {
    const replaced = unionOf(layers.slice(at + 1).flatMap(({ replaces }) => replaces));
    return { at, replaced, blocks: layer.blocks.filter((block) => isWanted(block, range, replaced)) };
  });
  const progress = new Progress(
    options,
    wanted.flatMap(({ blocks }) => blocks),
  );
  const sources = wanted.map(({ at, blocks, replaced }): LayerSource => {
    const parts = layerParts(options, { at, blocks, share: wanted.length }, progress);
    return { parts, replaced };
  });
  try {
    const [only, ...more] = sources;
    let records = 0;
    for await (const part of only !== undefined && more.length === 0 ? whole(only.parts) : mergeLayers(sources)) {
      records += part.length;
      yield part;
    }
    if (range === undefined && BigInt(records) !== manifest.records) {
      const name = partitionManifestName(manifest.checkpoint, manifest.summary!.partition);
      throw damaged(name, `its layers come to ${records} records, and it says ${manifest.records}`);
    }
  } finally {
    await Promise.all(sources.map(({ parts }) => parts.return?.()));
  }
}

/** A layer that is alone deletes nothing: layerParts sees to it. */
async function* whole(parts: LayerSource['parts']): AsyncGenerator<readonly StateRecord[], void> {
  for (let step = await parts.next(); step.done !== true; step = await parts.next())
    yield step.value as readonly StateRecord[];
}

function rangesAnd(layer: Layer): { readonly layer: Layer; readonly replaces: readonly KeyRange[] } {
  const replaces = layer.replaces.map(({ start, end }) => ({
    start: binaryFromBytes(start),
    end: binaryFromBytes(end),
  }));
  return { layer, replaces };
}

function isWanted(block: BlockReference, range: KeyRange | undefined, replaced: readonly KeyRange[]): boolean {
  const first = binaryFromBytes(block.firstKey);
  const last = binaryFromBytes(block.lastKey);
  if (range !== undefined && (last < range.start || (range.end !== '' && first >= range.end))) return false;
  return !replaced.some(({ start, end }) => start <= first && (end === '' || last < end));
}

interface LayerPart {
  /** 0: the base. */
  readonly at: number;
  readonly blocks: readonly BlockReference[];
  /** How many layers share what may be fetched ahead. */
  readonly share: number;
}

async function* layerParts(
  { repository, signal, range, cache }: ReadPartitionOptions,
  { at, blocks, share }: LayerPart,
  progress: Progress,
): AsyncGenerator<readonly LayerRecord[], void> {
  const aheadBytes = limits.checkpointInFlightBytes / share;
  const atOnceMax = limits.checkpointTransfersMax;
  for await (const { reference, content } of downloadBlocks({
    repository,
    blocks,
    aheadBytes,
    atOnceMax,
    cache,
    signal,
  })) {
    const records = recordsOf(reference, content);
    if (at === 0 && records.some(({ value }) => value === undefined)) {
      const name = blockName(reference.owner, reference.sha256);
      throw damaged(name, 'it deletes a record, and there is no older layer');
    }
    progress.tell(reference);
    yield range === undefined ? records : inside(records, range);
  }
}

function inside(records: readonly LayerRecord[], { start, end }: KeyRange): readonly LayerRecord[] {
  const isIn = (key: BinaryString): boolean => key >= start && (end === '' || key < end);
  if (records.length > 0 && isIn(records[0]!.key) && isIn(records.at(-1)!.key)) return records;
  return records.filter(({ key }) => isIn(key));
}

class Progress {
  readonly #options: ReadPartitionOptions;
  readonly #total: number;
  #blocks = 0;
  #bytes = 0;

  constructor(options: ReadPartitionOptions, blocks: readonly BlockReference[]) {
    this.#options = options;
    this.#total = blocks.reduce((sum, { storedBytes }) => sum + Number(storedBytes), 0);
  }

  tell({ storedBytes }: BlockReference): void {
    this.#blocks++;
    this.#bytes += Number(storedBytes);
    this.#options.onProgress?.({ blocks: this.#blocks, bytes: this.#bytes, part: this.#bytes / this.#total });
  }
}
