// Apply: (state, position, time, batch) → writes, results, changes. Every replica does this with the
// same batches in the same order and is therefore equal to its peers. No I/O, no clock, no random.
import type { Change } from '../change.ts';
import { decodeBatch } from '../codec/batch.ts';
import type { BinaryString } from '../binary-string.ts';
import type { Batch, Command, CommandBody } from '../command.ts';
import { StateStoreError } from '../errors.ts';
import type { Hash128 } from '../hash.ts';
import { hashChained, newHash } from '../hash.ts';
import { changeKey, encodeChanges } from '../keyspace/change.ts';
import { headKey } from '../keyspace/prefix.ts';
import { encodeSession, sessionKey } from '../keyspace/session.ts';
import { encodeStore, storeKey } from '../keyspace/store.ts';
import type { CommandResult } from '../result.ts';
import { commandResult } from '../result.ts';
import { absorb, prepareAbsorb, remember } from './absorb.ts';
import { BatchContext } from './context.ts';
import { oncePerKey, oncePerSession } from './deduplicate.ts';
import { fence, handOver, unfence } from './fence.ts';
import { mutate } from './mutate.ts';
import type { PartitionState, StateReader } from './state.ts';
import { headOf } from './state.ts';
import { adjustAllowance, clearStore, configureStore } from './stores.ts';
import { sweep } from './sweep.ts';

/** One log record, as the log holds it. */
export interface BatchRecord {
  readonly position: bigint;
  /** Server time of the append, ns since 1970. */
  readonly timestampNanos: bigint;
  readonly bytes: Uint8Array;
}

export interface Applied {
  readonly batch: Batch;
  /** One per command of the batch, in order. */
  readonly results: readonly CommandResult[];
  readonly changes: readonly Change[];
  /** To be committed together with the position; undefined deletes. */
  readonly writes: ReadonlyMap<BinaryString, Uint8Array | undefined>;
}

/**
 * Applies the batch at state.position + 1 and changes `state` accordingly; `reader` must show what all
 * batches before it wrote. Throws `data_corrupt` where it is at another position or cannot be read,
 * `data_format` where it is newer than this version: the state must not be used any further then.
 */
export function applyBatch(state: PartitionState, reader: StateReader, record: BatchRecord): Applied {
  const { position, timestampNanos, bytes } = record;
  if (position !== state.position + 1n) {
    throw new StateStoreError('data_corrupt', `batch ${position} came after batch ${state.position}`);
  }
  const batch = decodeBatch(bytes);
  state.position = position;
  if (timestampNanos > state.clockNanos) state.clockNanos = timestampNanos;
  extendChain(state.chain, record);
  const context = new BatchContext(state, reader);
  const results = batch.commands.map((command) => judge(context, command));
  finish(context);
  return { batch, results, changes: context.changes, writes: context.overlay.writes };
}

const seed = newHash();

/** chain = H(chain, position, timestamp, bytes as received). */
export function extendChain(chain: Hash128, { position, timestampNanos, bytes }: BatchRecord): void {
  seed[0] = chain[0]! ^ Number(position & 0xffff_ffffn);
  seed[1] = chain[1]! ^ Number((position >> 32n) & 0xffff_ffffn);
  seed[2] = chain[2]! ^ Number(timestampNanos & 0xffff_ffffn);
  seed[3] = chain[3]! ^ Number((timestampNanos >> 32n) & 0xffff_ffffn);
  hashChained(bytes, seed, chain);
}

function judge(context: BatchContext, command: Command): CommandResult {
  const { stamp, idempotency } = command;
  const once = () =>
    idempotency === undefined
      ? perform(context, command)
      : oncePerKey(context, idempotency, () => perform(context, command));
  return stamp === undefined ? once() : oncePerSession(context, stamp, once);
}

function perform(context: BatchContext, { slotsEpoch, body }: Command): CommandResult {
  const { state } = context;
  if (slotsEpoch !== undefined && slotsEpoch !== state.slotsEpoch) return commandResult('moved');
  return state.slots !== undefined && isHeldBack(state, body) ? heldBack(body) : performed(context, body);
}

/** Whether a command that is of the whole partition is not for it, or not now: entries of fenced slots stay as they are. */
function isHeldBack({ slots, fenced }: PartitionState, { kind }: CommandBody): boolean {
  if (kind === 'sweep') return fenced !== undefined;
  return (
    (kind === 'clear' || kind === 'configure' || kind === 'adjustAllowance') &&
    (fenced !== undefined || slots?.length === 0)
  );
}

function heldBack({ kind }: CommandBody): CommandResult {
  return commandResult(kind === 'sweep' ? 'done' : 'moved');
}

function performed(context: BatchContext, body: CommandBody): CommandResult {
  switch (body.kind) {
    case 'mutate':
      return mutate(context, body);
    case 'clear':
      return clearStore(context, body);
    case 'configure':
      return configureStore(context, body);
    case 'adjustAllowance':
      return adjustAllowance(context, body);
    case 'sweep':
      return sweep(context, body);
    case 'barrier':
      return commandResult('done');
    case 'fence':
      return fence(context, body);
    case 'unfence':
      return unfence(context, body);
    case 'handOver':
      return handOver(context, body);
    case 'prepareAbsorb':
      return prepareAbsorb(context, body);
    case 'remember':
      return remember(context, body);
    case 'absorb':
      return absorb(context, body);
  }
}

function finish(context: BatchContext): void {
  const { state, overlay, changes } = context;
  for (const store of context.dirtyStores) overlay.put(storeKey(store.name), encodeStore(store));
  for (const id of context.dirtySessions) {
    const session = state.sessions.get(id);
    if (session !== undefined) overlay.put(sessionKey(id), encodeSession(session));
  }
  if (changes.length > 0) {
    const key = changeKey(state.position);
    const bytes = encodeChanges({ changes, clockNanos: state.clockNanos });
    overlay.put(key, bytes);
    state.changesBytes += key.length + bytes.length;
  }
  overlay.put(headKey, headOf(state));
}
