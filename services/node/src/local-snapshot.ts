// The state of an engine that is not durable, as one file beside the log, so that the log can be
// trimmed and a start need not replay everything. Written to another name, synced, then renamed: there is
// always a whole one or none. docs/formats.md, "The local snapshot".
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { binaryFromBytes, StateStoreError } from '@statestore/core';
import type { EngineEntry, EngineSnapshot } from './engine/engine.ts';

const magic = 'SSSNAP01';
const headerBytes = 16;
const blockBytes = 1024 * 1024;

/** Entries and position of the snapshot go to `path`, which is replaced as a whole. */
export async function writeLocalSnapshot(path: string, snapshot: EngineSnapshot): Promise<void> {
  const file = await open(`${path}.new`, 'w');
  try {
    const header = Buffer.alloc(headerBytes);
    header.write(magic, 0, 'latin1');
    header.writeBigUInt64BE(snapshot.position, 8);
    await file.write(header);
    let count = 0;
    let parts: Buffer[] = [];
    let size = 0;
    for (const { key, value } of snapshot.range({})) {
      parts.push(encodeEntryRecord(key, value));
      size += parts.at(-1)!.length;
      count++;
      if (size < blockBytes) continue;
      await writeBlock(file, Buffer.concat(parts));
      parts = [];
      size = 0;
    }
    if (size > 0) await writeBlock(file, Buffer.concat(parts));
    const end = Buffer.alloc(8);
    end.writeBigUInt64BE(BigInt(count));
    await writeBlock(file, end, endMark);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync();
  await folder.close();
}

const endMark = 0x8000_0000;

async function writeBlock(file: FileHandle, payload: Buffer, mark = 0): Promise<void> {
  const head = Buffer.alloc(8);
  head.writeUInt32BE((payload.length | mark) >>> 0, 0);
  head.writeUInt32BE(crc32(payload), 4);
  await file.writev([head, payload]);
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
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  const file = await open(path, 'r');
  const header = Buffer.alloc(headerBytes);
  await file.read(header, 0, headerBytes, 0);
  await file.close();
  if (header.toString('latin1', 0, 8) !== magic) throw damaged(path, 'it does not begin as a snapshot does');
  return { position: header.readBigUInt64BE(8), entries: readEntries(path) };
}

async function* readEntries(path: string): AsyncGenerator<EngineEntry> {
  let rest = Buffer.alloc(0);
  let count = 0n;
  let total: bigint | undefined;
  for await (const chunk of createReadStream(path, { start: headerBytes, highWaterMark: blockBytes })) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (let block = takeBlock(path, rest); block !== undefined; block = takeBlock(path, rest)) {
      rest = rest.subarray(8 + block.payload.length);
      if (total !== undefined) throw damaged(path, 'something follows its end');
      if (block.end) {
        total = block.payload.readBigUInt64BE(0);
        continue;
      }
      for (const entry of entriesOf(path, block.payload)) {
        count++;
        yield entry;
      }
    }
  }
  if (total !== count || rest.length > 0)
    throw damaged(path, `it ends after ${count} of ${total ?? 'an unknown number of'} entries`);
}

function takeBlock(path: string, bytes: Buffer): { readonly payload: Buffer; readonly end: boolean } | undefined {
  if (bytes.length < 8) return undefined;
  const marked = bytes.readUInt32BE(0);
  const length = marked & ~endMark;
  if (bytes.length < 8 + length) return undefined;
  const payload = bytes.subarray(8, 8 + length);
  if (crc32(payload) !== bytes.readUInt32BE(4)) throw damaged(path, 'the checksum of a block does not fit');
  return { payload, end: marked >= endMark };
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
