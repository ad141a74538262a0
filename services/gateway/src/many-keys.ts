// Many keys in one call: operations are split by partition, the parts carried out at the same time (again, elsewhere,
// where slots move meanwhile), and the results put back in order. It is not a transaction; each operation is judged for itself.
//
// Operations on one key are carried out in the order given. A key that is read may not be written in the
// same call: then there is no order to promise between the reads and the writes.
import {
  limits,
  StateStoreError,
  type BinaryString,
  type Idempotency,
  type Operation,
  type OperationResult,
} from '@statestore/core';
import type { Entry } from '@statestore/link';
import type { ClientSession } from './client-session.ts';
import type { GatewayContext } from './context.ts';
import { asStateStoreError } from './http-errors.ts';
import { isMoved, type Patience } from './moves.ts';
import { keyText } from './names.ts';
import { refusal } from './refusals.ts';
import type { Layout } from './routing.ts';

export type ManyOperation = { readonly kind: 'get'; readonly key: BinaryString } | Operation;

export type ManyResult =
  | { readonly kind: 'got'; readonly entry: Entry }
  | { readonly kind: 'missing' }
  | { readonly kind: 'written'; readonly operation: Operation; readonly result: OperationResult }
  | { readonly kind: 'failed'; readonly error: StateStoreError };

export interface ManyCounts {
  got: number;
  missing: number;
  put: number;
  deleted: number;
  failed: number;
}

/** Throws `invalid_body` or `body_too_large`: nothing was done then. */
export function checkMany(operations: readonly ManyOperation[]): void {
  if (operations.length === 0 || operations.length > limits.batchKeysMax) {
    throw new StateStoreError(
      'invalid_body',
      `there are ${operations.length} operations; there may be 1 to ${limits.batchKeysMax}`,
    );
  }
  let writes = 0;
  let bytes = 0;
  for (const operation of operations) {
    if (operation.kind === 'get') continue;
    writes++;
    bytes += operation.key.length + ('value' in operation ? operation.value.length : 0);
  }
  if (bytes > limits.commandBytesMax) {
    throw new StateStoreError(
      'body_too_large',
      `keys and values are ${bytes} bytes; at most ${limits.commandBytesMax} are allowed`,
    );
  }
  if (writes > 0 && writes < operations.length) checkOrder(operations);
}

/** Throws where a key is both read and written. */
function checkOrder(operations: readonly ManyOperation[]): void {
  const writes = new Map<BinaryString, number>();
  for (const [i, { kind, key }] of operations.entries()) if (kind !== 'get') writes.set(key, i);
  for (const [i, { kind, key }] of operations.entries()) {
    const write = kind === 'get' ? writes.get(key) : undefined;
    if (write === undefined) continue;
    throw new StateStoreError(
      'invalid_body',
      `operations[${i}] reads ${JSON.stringify(keyText(key))}, which operations[${write}] writes`,
      {
        hint: 'Send reads and writes of one key in two calls.',
      },
    );
  }
}

/** What there is to a call, for its parts. */
interface Call {
  readonly context: GatewayContext;
  readonly store: string;
  readonly operations: readonly ManyOperation[];
  readonly results: ManyResult[];
  readonly session: ClientSession;
  /** Left for values of the answer. */
  readonly room: { bytes: number };
}

export async function runMany(
  context: GatewayContext,
  store: string,
  operations: readonly ManyOperation[],
  session: ClientSession,
  idempotency: Idempotency | undefined,
): Promise<readonly ManyResult[]> {
  const results = Array.from<ManyResult>({ length: operations.length });
  const room = { bytes: limits.batchAnswerBytesMax };
  const call: Call = { context, store, operations, results, session, room };
  const gets: number[] = [];
  const writes: number[] = [];
  for (let i = 0; i < operations.length; i++) (operations[i]!.kind === 'get' ? gets : writes).push(i);
  const work: Promise<void>[] = [];
  if (writes.length > 0) work.push(runWrites(call, writes, idempotency));
  if (gets.length > 0) work.push(runGets(call, gets, context.moves.begin()));
  await Promise.all(work);
  return results;
}

async function runWrites(
  { context, store, operations, results, session }: Call,
  indexes: readonly number[],
  idempotency: Idempotency | undefined,
): Promise<void> {
  const writes = indexes.map((i) => operations[i] as Operation);
  const outcomes = await context.writer.many(store, writes, session, idempotency);
  for (let at = 0; at < writes.length; at++) {
    const operation = writes[at]!;
    const outcome = outcomes[at]!;
    results[indexes[at]!] =
      outcome instanceof StateStoreError ? { kind: 'failed', error: outcome } : written(store, operation, outcome);
  }
}

function written(store: string, operation: Operation, result: OperationResult): ManyResult {
  if (result.code === 'done') return { kind: 'written', operation, result };
  return { kind: 'failed', error: refusal(result.code, store, keyText(operation.key), result) };
}

/** Reads each key from whoever has it by the present layout. */
async function runGets(call: Call, indexes: readonly number[], patience: Patience): Promise<void> {
  const { routing } = call.context;
  const { layout } = routing;
  const parts = new Map<number, number[]>();
  for (const i of indexes) {
    const partition = routing.partitionOf(call.store, call.operations[i]!.key);
    const part = parts.get(partition);
    if (part === undefined) parts.set(partition, [i]);
    else part.push(i);
  }
  await Promise.all([...parts].map(([partition, part]) => runGetsOf(call, partition, part, layout, patience)));
}

/* oxlint-disable-next-line max-params -- one part of the function above */
async function runGetsOf(
  call: Call,
  partition: number,
  indexes: readonly number[],
  layout: Layout,
  patience: Patience,
): Promise<void> {
  const { context, store, operations, results, session, room } = call;
  const node = context.routing.nodeOf(partition);
  const options = session.reading(partition, layout.slotsEpochOf(partition));
  for (let from = 0; from < indexes.length; from += limits.batchReadKeys) {
    const some = indexes.slice(from, from + limits.batchReadKeys);
    if (room.bytes <= 0) {
      fail(some, results, answerTooLarge());
      continue;
    }
    try {
      const keys = some.map((i) => operations[i]!.key);
      const found = await node.getMany(partition, store, keys, options);
      session.saw(partition, found);
      take(found.entries, some, results, room);
      patience.over();
    } catch (error) {
      try {
        if (!isMoved(error)) throw error;
        await patience.after(layout.epoch, error);
        await runGets(call, some, patience);
      } catch (failure) {
        fail(some, results, asStateStoreError(failure));
      }
    }
  }
}

function take(
  entries: readonly (Entry | undefined)[],
  indexes: readonly number[],
  results: ManyResult[],
  room: { bytes: number },
): void {
  for (let at = 0; at < indexes.length; at++) {
    const entry = entries[at];
    room.bytes -= entry?.value.length ?? 0;
    if (entry === undefined) results[indexes[at]!] = { kind: 'missing' };
    else results[indexes[at]!] = room.bytes < 0 ? { kind: 'failed', error: answerTooLarge() } : { kind: 'got', entry };
  }
}

function fail(indexes: readonly number[], results: ManyResult[], error: StateStoreError): void {
  for (const i of indexes) results[i] = { kind: 'failed', error };
}

function answerTooLarge(): StateStoreError {
  return new StateStoreError(
    'body_too_large',
    `the answer would pass ${limits.batchAnswerBytesMax} bytes; ask for this key again`,
  );
}

/** As the same call alone would be answered. */
export function statusOf(result: ManyResult): number {
  switch (result.kind) {
    case 'got':
      return 200;
    case 'missing':
      return 404;
    case 'failed':
      return result.error.status;
    case 'written':
      return result.operation.kind === 'delete' || result.result.existed ? 200 : 201;
  }
}

export function countMany(results: readonly ManyResult[]): ManyCounts {
  const counts = { got: 0, missing: 0, put: 0, deleted: 0, failed: 0 };
  for (const result of results) {
    if (result.kind === 'written') counts[result.operation.kind === 'delete' ? 'deleted' : 'put']++;
    else counts[result.kind]++;
  }
  return counts;
}
