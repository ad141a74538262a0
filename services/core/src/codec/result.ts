// Results as bytes: CommandResult of proto/statestore/v1/state.proto. They travel from node to gateway, and
// apply remembers them for retries.
import type { AppliedResult, CommandResult, OperationResult } from '../result.ts';
import { resultCodes } from '../result.ts';
import { WireReader, WireWriter } from '../wire.ts';
import { newerFormat } from './format.ts';

const writer = new WireWriter(16 * 1024);
const resultNumbers = new Map(resultCodes.map((code, number) => [code, number]));

export function encodeCommandResult(result: CommandResult): Uint8Array {
  writer.reset();
  writeCommandResult(writer, result);
  return writer.finish();
}

/** As a node answers: with the position that it was applied at. */
export function encodeAppliedResult(result: AppliedResult): Uint8Array {
  writer.reset();
  writer.uint(10, result.generation ?? 0);
  writer.bigUint(9, result.position);
  writeCommandResult(writer, result);
  return writer.finish();
}

function writeCommandResult(w: WireWriter, result: CommandResult): void {
  w.uint(8, result.removed);
  w.uint(7, result.failedIndex);
  w.sint(6, result.bytes);
  w.sint(5, result.entries);
  w.flag(4, result.more);
  w.uint(3, result.count);
  for (let i = result.operations.length - 1; i >= 0; i--) {
    const start = w.size;
    const operation = result.operations[i]!;
    w.uint(6, operation.expiresAtMs);
    w.uint(5, operation.sizeBytes);
    w.bigSint(4, operation.number);
    w.flag(3, operation.existed);
    w.bigUint(2, operation.revision);
    w.uint(1, resultNumbers.get(operation.code)!);
    w.lengthPrefix(2, w.size - start);
  }
  w.uint(1, resultNumbers.get(result.code)!);
}

/** Throws `data_corrupt` where the bytes are no result. */
export function decodeCommandResult(bytes: Uint8Array): CommandResult {
  const { position: _, generation: __, ...result } = decodeAppliedResult(bytes);
  return result;
}

export function decodeAppliedResult(bytes: Uint8Array): AppliedResult {
  const r = new WireReader(bytes);
  let code = 0;
  const operations: OperationResult[] = [];
  let count = 0;
  let more = false;
  let entries = 0;
  let size = 0;
  let failedIndex = 0;
  let removed = 0;
  let position = 0n;
  let generation: number | undefined;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) code = r.uint();
    else if (field === 2) {
      const outer = r.enter();
      operations.push(readOperationResult(r));
      r.leave(outer);
    } else if (field === 3) count = r.uint();
    else if (field === 4) more = r.uint() !== 0;
    else if (field === 5) entries = r.sint();
    else if (field === 6) size = r.sint();
    else if (field === 7) failedIndex = r.uint();
    else if (field === 8) removed = r.uint();
    else if (field === 9) position = r.bigUint();
    else if (field === 10) generation = r.uint();
    else r.skip();
  }
  return {
    code: codeOf(code),
    operations,
    count,
    more,
    entries,
    bytes: size,
    failedIndex,
    removed,
    position,
    generation,
  };
}

function codeOf(number: number): OperationResult['code'] {
  const code = resultCodes[number];
  if (code === undefined) throw newerFormat(`result ${number}`);
  return code;
}

function readOperationResult(r: WireReader): OperationResult {
  let code = 0;
  let revision = 0n;
  let existed = false;
  let number = 0n;
  let sizeBytes = 0;
  let expiresAtMs = 0;
  for (let field = r.field(); field !== 0; field = r.field()) {
    if (field === 1) code = r.uint();
    else if (field === 2) revision = r.bigUint();
    else if (field === 3) existed = r.uint() !== 0;
    else if (field === 4) number = r.bigSint();
    else if (field === 5) sizeBytes = r.uint();
    else if (field === 6) expiresAtMs = r.uint();
    else r.skip();
  }
  return { code: codeOf(code), revision, existed, number, sizeBytes, expiresAtMs };
}
