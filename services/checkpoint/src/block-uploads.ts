// Blocks on their way into the repository: named, compressed in the thread pool, created, and verified. What
// another checkpoint has already is referenced there. Bounded: who adds blocks waits while many are under way.
import { create } from '@bufbuild/protobuf';
import { bytesFromBinary, limits } from '@statestore/core';
import type { BlockReference, PartitionManifest } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { BlockReferenceSchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import type { CutBlock } from './block-cutter.ts';
import { checkStored, compressBlock, createObject, digest, getObject, unpackBlock } from './block-object.ts';
import { damaged } from './damage.ts';
import { Gate } from './gate.ts';
import { blockName } from './names.ts';
import type { ObjectName, Repository } from './repository.ts';

export interface BlockUploadsOptions {
  readonly repository: Repository;
  /** Of the checkpoint that the blocks are uploaded for. */
  readonly checkpointId: string;
  readonly level: number;
  /** Whether what was uploaded is read again, or only its size is looked at. */
  readonly readBack: boolean;
  /** Its blocks are used again. */
  readonly previous: PartitionManifest | undefined;
  readonly signal: AbortSignal;
}

/** Of the whole process: its thread pool is also what syncs the log, and who waits for that is a client. */
const compressions = new Gate(limits.checkpointCompressionsMax);

/** Buffers that are kept for the next blocks. */
const sparesMax = 4;

function nameOf(sha256: Uint8Array): string {
  return Buffer.from(sha256).toString('latin1');
}

export class BlockUploads {
  /** Of this checkpoint. */
  uploadedBytes = 0;
  /** Stored elsewhere already. */
  reusedBytes = 0;
  readonly #options: BlockUploadsOptions;
  readonly #known = new Map<string, BlockReference>();
  readonly #references: Promise<BlockReference>[] = [];
  readonly #transfers = new Gate(limits.checkpointTransfersMax);
  readonly #spares: Buffer[] = [];
  #inFlightBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #room: (() => void) | undefined;

  constructor(options: BlockUploadsOptions) {
    this.#options = options;
    for (const { blocks } of options.previous?.layers ?? [])
      for (const block of blocks) this.#known.set(nameOf(block.sha256), block);
  }

  /** Memory for a block. */
  readonly allocate = (): Buffer => this.#spares.pop() ?? Buffer.allocUnsafeSlow(2 * limits.checkpointBlockBytesTarget);

  /** Resolves when there is room for another one. Rejects with what went wrong with this one or one before. */
  async add(block: CutBlock): Promise<void> {
    this.#inFlightBytes += block.bytes;
    const reference = this.#refer(block);
    // Whoever waits in `finish` is told; nobody may be waiting yet.
    reference.catch((error: unknown) => (this.#failure ??= { error }));
    void reference.then(
      () => this.#landed(block.bytes),
      () => this.#landed(block.bytes),
    );
    this.#references.push(reference);
    while (this.#inFlightBytes > limits.checkpointInFlightBytes && this.#failure === undefined)
      await new Promise<void>((resolve) => (this.#room = resolve));
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** All references, in the order of the blocks, when all of them are stored. Nothing is under way then, also where it rejects. */
  async finish(): Promise<BlockReference[]> {
    const settled = await Promise.allSettled(this.#references);
    if (this.#failure !== undefined) throw this.#failure.error;
    return settled.map((one) => {
      if (one.status === 'rejected') throw one.reason;
      return one.value;
    });
  }

  #landed(bytes: number): void {
    this.#inFlightBytes -= bytes;
    this.#room?.();
    this.#room = undefined;
  }

  #keep(buffer: Buffer): void {
    const isUsual = buffer.length <= limits.checkpointBlockBytesMax;
    if (isUsual && this.#spares.length < sparesMax) this.#spares.push(buffer);
  }

  async #refer(block: CutBlock): Promise<BlockReference> {
    const content = block.buffer.subarray(0, block.bytes);
    const sha256 = await digest(content);
    const known = this.#known.get(nameOf(sha256));
    if (known === undefined) return this.#upload(block, content, sha256);
    this.reusedBytes += Number(known.storedBytes);
    this.#keep(block.buffer);
    return known;
  }

  async #upload(block: CutBlock, content: Uint8Array, sha256: Uint8Array): Promise<BlockReference> {
    const { level, checkpointId } = this.#options;
    const stored = await compressions.run(() => {
      this.#mayGoOn();
      return compressBlock(content, level);
    });
    this.#keep(block.buffer);
    const { storedBytes, storedSha256 } = await this.#transfers.run(() => {
      this.#mayGoOn();
      return this.#store(sha256, block.bytes, stored);
    });
    return create(BlockReferenceSchema, {
      sha256,
      owner: checkpointId,
      storedBytes,
      storedSha256,
      bytes: BigInt(block.bytes),
      records: BigInt(block.records),
      firstKey: bytesFromBinary(block.firstKey),
      lastKey: bytesFromBinary(block.lastKey),
    });
  }

  /** After the first failure nothing more is begun. */
  #mayGoOn(): void {
    this.#options.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #store(
    sha256: Uint8Array,
    bytes: number,
    stored: Uint8Array,
  ): Promise<Pick<BlockReference, 'storedBytes' | 'storedSha256'>> {
    const { repository, checkpointId, signal, readBack } = this.#options;
    const name = blockName(checkpointId, sha256);
    const attemptsMax = limits.checkpointUploadAttempts;
    const outcome = await createObject(repository, name, stored, { attemptsMax, signal });
    if (outcome === 'exists') return this.#found(name, sha256, bytes);
    this.uploadedBytes += stored.length;
    const mine = { storedBytes: BigInt(stored.length), storedSha256: await digest(stored) };
    if (readBack) await checkStored(name, await getObject(repository, name, signal), mine);
    else {
      const info = await repository.head(name, { signal });
      if (info?.sizeBytes !== stored.length)
        throw damaged(name, `${stored.length} bytes were uploaded, and it has ${info?.sizeBytes ?? 'none'}`);
    }
    return mine;
  }

  /** Another partition, or an attempt before, has the same content. It was perhaps compressed otherwise. */
  async #found(
    name: ObjectName,
    sha256: Uint8Array,
    bytes: number,
  ): Promise<Pick<BlockReference, 'storedBytes' | 'storedSha256'>> {
    const { repository, signal } = this.#options;
    const stored = await getObject(repository, name, signal);
    await unpackBlock(name, stored, { bytes: BigInt(bytes), sha256 });
    return { storedBytes: BigInt(stored.length), storedSha256: await digest(stored) };
  }
}
