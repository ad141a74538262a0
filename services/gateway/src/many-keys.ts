// Many keys in one call: operations are split by partition, the parts carried out at the same time, and
// the results put back in order. It is not a transaction; each operation is judged for itself.
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
import { keyText } from './names.ts';
import { refusal } from './refusals.ts';

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

/** The parts of one partition: indexes into the operations. */
interface Part {
  readonly gets: number[];
  readonly writes: number[];
}

export async function runMany(
  context: GatewayContext,
  store: string,
  operations: readonly ManyOperation[],
  session: ClientSession,
  idempotency: Idempotency | undefined,
): Promise<readonly ManyResult[]> {
  const { routing } = context;
  const parts = new Map<number, Part>();
  for (let i = 0; i < operations.length; i++) {
    const { kind, key } = operations[i]!;
    const partition = routing.partitionOf(store, key);
    let part = parts.get(partition);
    if (part === undefined) parts.set(partition, (part = { gets: [], writes: [] }));
    (kind === 'get' ? part.gets : part.writes).push(i);
  }
  const results = Array.from<ManyResult>({ length: operations.length });
  const room = { bytes: limits.batchAnswerBytesMax };
  const work: Promise<void>[] = [];
  for (const [partition, { gets, writes }] of parts) {
    const part = { context, store, partition, operations, results, session };
    if (writes.length > 0) work.push(runWrites(part, writes, idempotency));
    if (gets.length > 0) work.push(runGets(part, gets, room));
  }
  await Promise.all(work);
  return results;
}

/** What is done of the call on one partition. */
interface PartOfCall {
  readonly context: GatewayContext;
  readonly store: string;
  readonly partition: number;
  readonly operations: readonly ManyOperation[];
  readonly results: ManyResult[];
  readonly session: ClientSession;
}

async function runWrites(
  { context, store, partition, operations, results, session }: PartOfCall,
  indexes: readonly number[],
  idempotency: Idempotency | undefined,
): Promise<void> {
  const writes = indexes.map((i) => operations[i] as Operation);
  try {
    const answers = await context.writer.many(partition, store, writes, session, idempotency);
    for (let at = 0; at < writes.length; at++) {
      const operation = writes[at]!;
      const result = answers[at]!;
      results[indexes[at]!] =
        result.code === 'done'
          ? { kind: 'written', operation, result }
          : { kind: 'failed', error: refusal(result.code, store, keyText(operation.key), result) };
    }
  } catch (error) {
    fail(indexes, results, asStateStoreError(error));
  }
}

async function runGets(
  { context, store, partition, operations, results, session }: PartOfCall,
  indexes: readonly number[],
  room: { bytes: number },
): Promise<void> {
  const node = context.routing.nodeOf(partition);
  for (let from = 0; from < indexes.length; from += limits.batchReadKeys) {
    const some = indexes.slice(from, from + limits.batchReadKeys);
    if (room.bytes <= 0) {
      fail(some, results, answerTooLarge());
      continue;
    }
    try {
      const found = await node.getMany(
        partition,
        store,
        some.map((i) => operations[i]!.key),
        session.reading(partition),
      );
      session.saw(partition, found);
      const { entries } = found;
      for (let at = 0; at < some.length; at++) {
        const i = some[at]!;
        const entry = entries[at];
        room.bytes -= entry?.value.length ?? 0;
        if (entry === undefined) results[i] = { kind: 'missing' };
        else results[i] = room.bytes < 0 ? { kind: 'failed', error: answerTooLarge() } : { kind: 'got', entry };
      }
    } catch (error) {
      fail(some, results, asStateStoreError(error));
    }
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
