// One block as an object of the repository: compressed by zstd and named by its content. Who reads one knows its
// reference, from a manifest that was checked: what does not fit it in any way is refused by name.
import { subtle } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import type { BinaryString } from '@statestore/core';
import { binaryFromBytes, StateStoreError } from '@statestore/core';
import type { BlockReference } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { decodeBlock } from './block-codec.ts';
import { damaged } from './damage.ts';
import { blockName } from './names.ts';
import type { LayerRecord } from './records.ts';
import type { ObjectName, Repository } from './repository.ts';
import { equalBytes } from './sealed.ts';

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);

/** SHA-256, in the thread pool: of a large block it takes milliseconds. */
export async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await subtle.digest('SHA-256', bytes));
}

/** In one step of the thread pool: the output has room for what cannot be compressed. */
export function compressBlock(content: Uint8Array, level: number): Promise<Uint8Array> {
  return compressed(content, {
    chunkSize: content.length + (content.length >> 7) + 1024,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

/** The content, checked against its reference. Rejects with `data_corrupt` where it does not fit. */
export async function readBlock(
  repository: Repository,
  reference: BlockReference,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const name = blockName(reference.owner, reference.sha256);
  const stored = await getObject(repository, name, signal);
  await checkStored(name, stored, reference);
  return unpackBlock(name, stored, reference);
}

export async function getObject(
  repository: Repository,
  name: ObjectName,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const bytes = await repository.get(name, signal === undefined ? {} : { signal });
  if (bytes === undefined) throw damaged(name, 'it is missing');
  return bytes;
}

/** That the object is the one that was uploaded. */
export async function checkStored(
  name: ObjectName,
  stored: Uint8Array,
  { storedBytes, storedSha256 }: Pick<BlockReference, 'storedBytes' | 'storedSha256'>,
): Promise<void> {
  if (BigInt(stored.length) !== storedBytes)
    throw damaged(name, `it has ${stored.length} bytes; ${storedBytes} were uploaded`);
  if (!equalBytes(await digest(stored), storedSha256))
    throw damaged(name, 'its bytes are not those that were uploaded');
}

/** That it is compressed from what its name says. */
export async function unpackBlock(
  name: ObjectName,
  stored: Uint8Array,
  { bytes, sha256 }: Pick<BlockReference, 'bytes' | 'sha256'>,
): Promise<Uint8Array> {
  const size = Number(bytes);
  let content: Uint8Array;
  try {
    // A little more room than it needs: a full output is asked for more.
    content = await decompressed(stored, { chunkSize: size + 64, maxOutputLength: size });
  } catch (cause) {
    throw damaged(name, `it cannot be decompressed to ${size} bytes`, cause);
  }
  if (content.length !== size) throw damaged(name, `it is compressed from ${content.length} bytes, not ${size}`);
  if (!equalBytes(await digest(content), sha256)) throw damaged(name, 'its content is not the one that it is named by');
  return content;
}

/** The records of a content that `readBlock` gave. */
export function recordsOf(reference: BlockReference, content: Uint8Array): LayerRecord[] {
  const name = blockName(reference.owner, reference.sha256);
  const records = decodeBlock(content);
  if (records === undefined) throw damaged(name, 'its content is no sequence of records in the order of their keys');
  if (BigInt(records.length) !== reference.records)
    throw damaged(name, `it has ${records.length} records, and its manifest says ${reference.records}`);
  const is = (key: BinaryString | undefined, bytes: Uint8Array): boolean => key === binaryFromBytes(bytes);
  if (!is(records[0]?.key, reference.firstKey) || !is(records.at(-1)?.key, reference.lastKey))
    throw damaged(name, 'it does not begin and end with the keys that its manifest says');
  return records;
}

/** Creates the object, also where an attempt's outcome was lost. */
export async function createObject(
  repository: Repository,
  name: ObjectName,
  bytes: Uint8Array,
  { attemptsMax, signal }: { readonly attemptsMax: number; readonly signal: AbortSignal },
): Promise<'created' | 'exists'> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await repository.create(name, bytes, { signal });
    } catch (error) {
      const unknown = error instanceof StateStoreError && error.code === 'outcome_unknown';
      if (!unknown || attempt >= attemptsMax) throw error;
    }
  }
}
