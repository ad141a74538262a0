// Sessions. Key: 0x40, session id (16 bytes); value: Session of state.proto. Made by a session's first
// command, written anew with each batch that had one of its commands, removed by the sweep when it
// was idle for the whole window. State keeps all of them in memory.
import type { BinaryString } from '../binary-string.ts';
import { decodeCommandResult, encodeCommandResult } from '../codec/result.ts';
import type { CommandResult } from '../result.ts';
import { WireReader, WireWriter } from '../wire.ts';
import { sessionPrefix } from './prefix.ts';

export interface RememberedResult {
  readonly result: CommandResult;
  /** As encoded: written again with every batch of the session until it is forgotten. */
  readonly bytes: Uint8Array;
}

export interface SessionState {
  firstUnanswered: number;
  lastUsedMs: number;
  /** By counter, ascending by first execution. */
  readonly results: Map<number, RememberedResult>;
}

const writer = new WireWriter(64 * 1024);

export function sessionKey(id: BinaryString): BinaryString {
  return sessionPrefix + id;
}

export function parseSessionKey(key: BinaryString): BinaryString {
  return key.slice(1);
}

export function rememberedResult(result: CommandResult): RememberedResult {
  return { result, bytes: encodeCommandResult(result) };
}

export function encodeSession(session: SessionState): Uint8Array {
  writer.reset();
  const results = [...session.results];
  for (let i = results.length - 1; i >= 0; i--) {
    const [counter, { bytes }] = results[i]!;
    const start = writer.size;
    writer.bytes(2, bytes);
    writer.uint(1, counter);
    writer.lengthPrefix(3, writer.size - start);
  }
  writer.uint(2, session.lastUsedMs);
  writer.uint(1, session.firstUnanswered);
  return writer.finish();
}

/** Throws `data_corrupt` where the bytes are no session. */
export function decodeSession(bytes: Uint8Array): SessionState {
  const r = new WireReader(bytes);
  const results = new Map<number, RememberedResult>();
  let firstUnanswered = 0;
  let lastUsedMs = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) firstUnanswered = r.uint();
    else if (field === 2) lastUsedMs = r.uint();
    else if (field === 3) {
      const outer = r.enter();
      readResult(r, results);
      r.leave(outer);
    } else r.skip();
  }
  return { firstUnanswered, lastUsedMs, results };
}

function readResult(r: WireReader, results: Map<number, RememberedResult>): void {
  let counter = 0;
  let bytes: Uint8Array = new Uint8Array(0);
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) counter = r.uint();
    else if (field === 2) bytes = r.bytes().slice();
    else r.skip();
  }
  results.set(counter, { result: decodeCommandResult(bytes), bytes });
}
