// The state of an engine that is not durable, as one file beside the log, so that the log can be
// trimmed and a start need not replay everything. Written to another name, synced, then renamed: there is
// always a whole one or none. docs/formats.md, "The local snapshot".
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { binaryFromBytes, StateStoreError } from '@statestore/core';
import { Turns } from './copy/turns.ts';
import type { EngineEntry, EngineSnapshot } from './engine/engine.ts';
import { systemTime } from './time.ts';

const magic = 'SSSNAP01';
const headerBytes = 16;
const blockHeadBytes = 8;
const blockBytes = 1024 * 1024;
/** Payload of the last block: number of entries, and the position again, since the header has no checksum. */
const endBytes = 16;

/** Entries and position of the snapshot go to `path`, which is replaced as a whole. */
export async function writeLocalSnapshot(path: string, snapshot: EngineSnapshot): Promise<void> {
  const draft = `${path}.new`;
  try {
    const file = await open(draft, 'w');
    try {
      await writeSnapshot(file, snapshot);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    // What it took is given back: on a full disk it is what everything else needs.
    await rm(draft, { force: true }).catch(() => undefined);
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeSnapshot(file: FileHandle, snapshot: EngineSnapshot): Promise<void> {
  const header = Buffer.alloc(headerBytes);
  header.write(magic, 0, 'latin1');
  header.writeBigUInt64BE(snapshot.position, 8);
  await writeWhole(file, header);
  const turns = new Turns(systemTime);
  let count = 0;
  let parts: Buffer[] = [];
  let size = 0;
  for (const { key, value } of snapshot.range({})) {
    const record = encodeEntryRecord(key, value);
    parts.push(record);
    size += record.length;
    count++;
    if (turns.over) await turns.next();
    if (size < blockBytes) continue;
    await writeBlock(file, parts);
    parts = [];
    size = 0;
  }
  if (size > 0) await writeBlock(file, parts);
  const end = Buffer.alloc(endBytes);
  end.writeBigUInt64BE(BigInt(count));
  end.writeBigUInt64BE(snapshot.position, 8);
  await writeBlock(file, [end], endMark);
}

const endMark = 0x8000_0000;

async function writeBlock(file: FileHandle, parts: readonly Buffer[], mark = 0): Promise<void> {
  const block = Buffer.concat([Buffer.alloc(blockHeadBytes), ...parts]);
  const payload = block.subarray(blockHeadBytes);
  block.writeUInt32BE((payload.length | mark) >>> 0, 0);
  block.writeUInt32BE(crc32(payload), 4);
  await writeWhole(file, block);
}

/** A disk that is nearly full takes a part, without an error. */
async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray((await file.write(rest)).bytesWritten);
}

function encodeEntryRecord(key: string, value: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(8 + key.length + value.length);
  record.writeUInt32BE(key.length, 0);
  record.writeUInt32BE(value.length, 4);
  record.write(key, 8, 'latin1');
  record.set(value, 8 + key.length);
  return record;
}

export interface LocalSnapshot {
  readonly position: bigint;
  /** To be read once, to the end: the last block is what proves that nothing is missing. */
  readonly entries: AsyncIterable<EngineEntry>;
}

/** Undefined where there is none. Throws `data_corrupt`, here or while reading, where it is damaged. */
export async function openLocalSnapshot(path: string): Promise<LocalSnapshot | undefined> {
  await rm(`${path}.new`, { force: true });
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const header = await readAt(path, file, 0, headerBytes);
    if (header.toString('latin1', 0, 8) !== magic) throw damaged(path, 'it does not begin as a snapshot does');
    const position = header.readBigUInt64BE(8);
    return { position, entries: readEntries(path, position) };
  } finally {
    await file.close();
  }
}

async function* readEntries(path: string, position: bigint): AsyncGenerator<EngineEntry> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    let count = 0n;
    for (let at = headerBytes; ;) {
      const head = await readAt(path, file, at, blockHeadBytes);
      const marked = head.readUInt32BE(0);
      const length = marked & ~endMark;
      at += blockHeadBytes;
      if (length > size - at) throw damaged(path, `a block of ${length} bytes at ${at} passes its end`);
      const payload = await readAt(path, file, at, length);
      at += length;
      if (crc32(payload) !== head.readUInt32BE(4)) throw damaged(path, 'the checksum of a block does not fit');
      if (marked >= endMark) {
        checkEnd(path, payload, count, position);
        if (at < size) throw damaged(path, 'something follows its end');
        return;
      }
      for (const entry of entriesOf(path, payload)) {
        count++;
        yield entry;
      }
    }
  } finally {
    await file.close();
  }
}

function checkEnd(path: string, payload: Buffer, count: bigint, position: bigint): void {
  if (payload.length !== endBytes) throw damaged(path, `its last block has ${payload.length} bytes`);
  const total = payload.readBigUInt64BE(0);
  if (total !== count) throw damaged(path, `it ends after ${count} of ${total} entries`);
  const promised = payload.readBigUInt64BE(8);
  if (promised !== position) throw damaged(path, `it begins at position ${position} and ends at ${promised}`);
}

async function readAt(path: string, file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length;) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, at + filled);
    if (bytesRead === 0) throw damaged(path, `it ends at ${at + filled}, inside a block`);
    filled += bytesRead;
  }
  return bytes;
}

function* entriesOf(path: string, block: Buffer): Generator<EngineEntry> {
  for (let at = 0; at < block.length;) {
    if (at + 8 > block.length) throw damaged(path, 'a block ends inside an entry');
    const keyEnd = at + 8 + block.readUInt32BE(at);
    const valueEnd = keyEnd + block.readUInt32BE(at + 4);
    if (valueEnd > block.length) throw damaged(path, 'a block ends inside an entry');
    // Copied: the engine keeps it, and a view would keep the whole block.
    yield {
      key: binaryFromBytes(block.subarray(at + 8, keyEnd)),
      value: new Uint8Array(block.subarray(keyEnd, valueEnd)),
    };
    at = valueEnd;
  }
}

function damaged(path: string, why: string): StateStoreError {
  return new StateStoreError('data_corrupt', `the snapshot ${path} is damaged: ${why}`, {
    hint: 'restore the data folder from a copy; the snapshot is needed because the log before it was trimmed',
  });
}
