// Operations on entries: single ones, each judged for itself, or all or none.
import type { BinaryString } from '../binary-string.ts';
import type { Mutate, Operation } from '../command.ts';
import type { StoredEntry } from '../keyspace/entry.ts';
import { decodeEntry } from '../keyspace/entry.ts';
import type { StoreState } from '../keyspace/store.ts';
import { ordinalMax, storesMax } from '../limits.ts';
import type { CommandResult, OperationResult, ResultCode } from '../result.ts';
import { commandResult, operationResult } from '../result.ts';
import { containsSlot } from '../slot-ranges.ts';
import { slotOf } from '../slots.ts';
import type { BatchContext } from './context.ts';
import type { Circumstances } from './evaluate.ts';
import { conditionHolds, evaluate } from './evaluate.ts';
import type { PartitionState } from './state.ts';

export function mutate(context: BatchContext, command: Mutate): CommandResult {
  if (context.state.slots !== undefined) {
    const moved = movedKeys(context, command);
    if (moved !== undefined) return moved;
  }
  return performHere(context, command);
}

/** Undefined where all keys are the partition's, now and for some time. */
function movedKeys(context: BatchContext, command: Mutate): CommandResult | undefined {
  const { store, checks, operations } = command;
  const { state } = context;
  const isHere = ({ key }: { readonly key: BinaryString }): boolean => !isMoved(state, slotOf(store, key));
  if (operations.every(isHere) && checks.every(isHere)) return undefined;
  if (command.atomic) {
    const at = [...checks, ...operations].findIndex((one) => !isHere(one));
    return refused('moved', at, command);
  }
  const here = operations.filter(isHere);
  if (here.length === 0) return commandResult('done', { operations: operations.map(() => moved) });
  const rest = performHere(context, { ...command, operations: here });
  if (rest.code !== 'done') return rest;
  const results = rest.operations.values();
  return commandResult('done', { operations: operations.map((one) => (isHere(one) ? results.next().value! : moved)) });
}

const moved = operationResult('moved');

function isMoved({ slots, fenced }: PartitionState, slot: number): boolean {
  return !containsSlot(slots!, slot) || (fenced !== undefined && containsSlot(fenced.slots, slot));
}

function performHere(context: BatchContext, command: Mutate): CommandResult {
  const store = context.store(command.store);
  const { stores, nextOrdinal } = context.state;
  if (stores.size >= storesMax && !stores.has(store.name)) return commandResult('too_many_stores');
  // Ordinals are never used again; after four thousand million clears there are none left.
  if (store.ordinal === 0 && nextOrdinal > ordinalMax) return commandResult('too_many_stores');
  if (command.atomic) return transaction(context, store, command);
  const now = circumstances(context, store);
  const operations = command.operations.map((operation) => operate(context, store, operation, now));
  return commandResult('done', { operations });
}

function transaction(context: BatchContext, store: StoreState, command: Mutate): CommandResult {
  const { checks, operations } = command;
  const failed = checks.findIndex(
    ({ key, condition }) => !conditionHolds(condition, liveOf(context, context.entryBytes(store, key))),
  );
  if (failed !== -1) return refused('precondition_failed', failed, command);
  const now = circumstances(context, store);
  const savepoint = context.savepoint(store);
  const results: OperationResult[] = [];
  for (const operation of operations) {
    const result = operate(context, store, operation, now);
    if (result.code !== 'done') {
      context.rollback(savepoint);
      return refused(result.code, checks.length + results.length, command, result);
    }
    results.push(result);
  }
  context.overlay.commit();
  return commandResult('done', { operations: results });
}

const notRun = operationResult('not_run');

/** Of a transaction of which nothing was done: `at` counts checks, then operations; `of` is the operation's refusal. */
function refused(
  code: ResultCode,
  at: number,
  { checks, operations }: Mutate,
  of: OperationResult = notRun,
): CommandResult {
  const results = operations.map((_, i) => (checks.length + i === at ? of : notRun));
  return commandResult(code, { failedIndex: at, operations: results });
}

/** The entry, undefined where there is none or its time has come. */
function liveOf(context: BatchContext, bytes: Uint8Array | undefined): StoredEntry | undefined {
  if (bytes === undefined) return undefined;
  const entry = decodeEntry(bytes);
  return entry.expiresAtMs !== 0 && entry.expiresAtMs <= context.clockMs ? undefined : entry;
}

/** Of all operations of a command. */
function circumstances({ clockMs }: BatchContext, { settings }: StoreState): Circumstances {
  return { clockMs, defaultTtlMs: settings.defaultTtlMs };
}

function operate(context: BatchContext, store: StoreState, operation: Operation, now: Circumstances): OperationResult {
  const { key } = operation;
  const before = context.entryBytes(store, key);
  const live = liveOf(context, before);
  if (!conditionHolds(operation.condition, live)) return standing('precondition_failed', live);
  const evaluation = evaluate(operation, live, now);
  switch (evaluation.kind) {
    case 'refused':
      return standing(evaluation.code, live);
    case 'unchanged':
      return operationResult('done');
    case 'remove':
      return operationResult('done', { existed: true, revision: context.removeEntry(store, key, before!, 'delete') });
    case 'write': {
      if (overQuota(store, key.length, before, evaluation.value.length)) return standing('quota_exceeded', live);
      const { number, value, expiresAtMs } = evaluation;
      const revision = context.writeEntry(store, key, before, evaluation);
      return { code: 'done', revision, existed: live !== undefined, number, sizeBytes: value.length, expiresAtMs };
    }
  }
}

/** A refusal, with what stands in the way. */
function standing(code: ResultCode, live: StoredEntry | undefined): OperationResult {
  if (live === undefined) return operationResult(code);
  const { revision, expiresAtMs, value } = live;
  return operationResult(code, { existed: true, revision, expiresAtMs, sizeBytes: value.length });
}

/** Whether writing would pass this partition's part of the quota. What makes the store smaller may always be done. */
function overQuota(store: StoreState, keyBytes: number, before: Uint8Array | undefined, valueBytes: number): boolean {
  const { allowanceEntries, allowanceBytes } = store;
  if (allowanceEntries === undefined && allowanceBytes === undefined) return false;
  if (allowanceEntries !== undefined && before === undefined && store.entries + 1 > allowanceEntries) return true;
  if (allowanceBytes === undefined) return false;
  const grownBytes = before === undefined ? keyBytes + valueBytes : valueBytes - decodeEntry(before).value.length;
  return grownBytes > 0 && store.bytes + grownBytes > allowanceBytes;
}
