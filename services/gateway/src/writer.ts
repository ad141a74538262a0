// Writes of entries: proposed to their partition, tried again after quota was moved there or their slots were moved
// elsewhere, and their refusals turned into errors that name the key.
import {
  fingerprint,
  limits,
  binaryFromText,
  bytesFromBinary,
  operationResult,
  slotOf,
  StateStoreError,
  type BinaryString,
  type Check,
  type Idempotency,
  type Mutate,
  type Operation,
  type OperationResult,
  type ResultCode,
} from '@statestore/core';
import type { Proposed } from '@statestore/link';
import type { ClientSession } from './client-session.ts';
import { asStateStoreError } from './http-errors.ts';
import { isMoved, type Moves, type Patience } from './moves.ts';
import { keyText } from './names.ts';
import type { CommandProposer } from './proposer.ts';
import type { Amount, Quotas } from './quota.ts';
import { refusal } from './refusals.ts';
import type { Routing } from './routing.ts';

const noChecks: readonly Check[] = [];

/** Of one operation of many: what apply made of it, or why nobody knows or could. */
export type Outcome = OperationResult | StateStoreError;

/** Operations that were sent together, each judged for itself. */
interface ManyCall {
  readonly store: string;
  readonly operations: readonly Operation[];
  readonly results: Outcome[];
  readonly session: ClientSession;
  readonly idempotency: Idempotency | undefined;
}

export class Writer {
  readonly #routing: Routing;
  readonly #proposer: CommandProposer;
  readonly #quotas: Quotas;
  readonly #moves: Moves;

  constructor(routing: Routing, proposer: CommandProposer, quotas: Quotas, moves: Moves) {
    this.#routing = routing;
    this.#proposer = proposer;
    this.#quotas = quotas;
    this.#moves = moves;
  }

  /** One operation. Throws its refusal. */
  async one(
    store: string,
    operation: Operation,
    session: ClientSession,
    idempotency?: Idempotency,
  ): Promise<OperationResult> {
    const body: Mutate = { kind: 'mutate', store, atomic: false, checks: noChecks, operations: [operation] };
    for (let round = 0; ; round++) {
      const { partition, proposed } = await this.#settled(body, operation.key, session, idempotency);
      const { code, operations } = proposed;
      const result = operations[0];
      const verdict = code === 'done' && result !== undefined ? result.code : code;
      if (verdict === 'done') return result!;
      const more =
        verdict === 'quota_exceeded' &&
        round < limits.quotaRoundsMax &&
        (await this.#quotas.makeRoom(store, partition, needOf(operation)));
      if (!more) throw refusal(verdict, store, keyText(operation.key), result);
    }
  }

  /** The verdict of whoever has the key's slot, where all keys share it: what was refused since it moves is sent after it, under a new stamp. */
  async #settled(
    body: Mutate,
    key: BinaryString,
    session: ClientSession,
    idempotency: Idempotency | undefined,
  ): Promise<{ readonly partition: number; readonly proposed: Proposed }> {
    let patience: Patience | undefined;
    for (;;) {
      const { epoch } = this.#routing.topology;
      const partition = this.#routing.partitionOf(body.store, key);
      let cause: unknown;
      try {
        const proposed = await this.#proposer.propose(partition, body, idempotency);
        if (!hasMoved(proposed)) {
          session.saw(partition, proposed);
          patience?.over();
          return { partition, proposed };
        }
      } catch (error) {
        if (!isMoved(error)) throw error;
        cause = error;
      }
      patience ??= this.#moves.begin();
      await patience.after(epoch, cause);
    }
  }

  /**
   * Operations on keys wherever they lie, each judged for itself; results in their order. Those on one key are carried
   * out in the order given. Under a client's key there is one command for each slot, so that a retry finds each of them
   * whoever has its slot by then.
   */
  async many(
    store: string,
    operations: readonly Operation[],
    session: ClientSession,
    idempotency?: Idempotency,
  ): Promise<readonly Outcome[]> {
    const results = Array.from<Outcome>({ length: operations.length });
    const call: ManyCall = { store, operations, results, session, idempotency };
    await this.#spread(
      call,
      operations.map((_, i) => i),
      this.#moves.begin(),
    );
    return results;
  }

  async #spread(call: ManyCall, indexes: readonly number[], patience: Patience): Promise<void> {
    const { store, operations, idempotency } = call;
    const groups = new Map<number, number[]>();
    for (const i of indexes) {
      const { key } = operations[i]!;
      const of = idempotency === undefined ? this.#routing.partitionOf(store, key) : slotOf(store, key);
      const group = groups.get(of);
      if (group === undefined) groups.set(of, [i]);
      else group.push(i);
    }
    const left = [...groups].values();
    // Without a client's key there are as many as partitions, and all begin at once, by one layout.
    const lanes = idempotency === undefined ? groups.size : Math.min(groups.size, limits.batchSlotsInFlightMax);
    const lane = async (): Promise<void> => {
      for (const [of, group] of left) {
        await this.#part(call, group, idempotency === undefined ? undefined : forSlot(idempotency, of), patience);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  /** Operations of one partition. Never rejects. */
  async #part(
    call: ManyCall,
    indexes: readonly number[],
    idempotency: Idempotency | undefined,
    patience: Patience,
  ): Promise<void> {
    const { store, operations, results, session } = call;
    const { epoch } = this.#routing.topology;
    const partition = this.#routing.partitionOf(store, operations[indexes[0]!]!.key);
    const own = indexes.map((i) => operations[i]!);
    let moved: readonly number[] = [];
    try {
      const judged = await this.#judgeAll(partition, store, own, session, idempotency);
      for (const [at, i] of indexes.entries()) results[i] = judged[at]!;
      moved = indexes.filter((i) => isMovedResult(results[i]!));
      // Under a client's key all of it is asked again: what was done already is remembered, as one command.
      if (moved.length > 0 && idempotency !== undefined) moved = indexes;
    } catch (error) {
      const failure = asStateStoreError(error);
      for (const i of indexes) results[i] = failure;
      if (isMoved(failure)) moved = indexes;
    }
    if (moved.length === 0) return patience.over();
    try {
      await patience.after(epoch);
    } catch (error) {
      for (const i of moved) results[i] = asStateStoreError(error);
      return;
    }
    if (idempotency === undefined) await this.#spread(call, moved, patience);
    else await this.#part(call, indexes, idempotency, patience);
  }

  /** With quota moved to where it was missing. */
  async #judgeAll(
    partition: number,
    store: string,
    operations: readonly Operation[],
    session: ClientSession,
    idempotency: Idempotency | undefined,
  ): Promise<readonly OperationResult[]> {
    const judged = await this.#judge(partition, store, operations, session, idempotency);
    if (!judged.some(({ code }) => code === 'quota_exceeded')) return judged;
    const results = [...judged];
    for (let round = 0; round < limits.quotaRoundsMax; round++) {
      const refused = results.flatMap((result, i) => (result.code === 'quota_exceeded' ? [i] : []));
      if (refused.length === 0) break;
      const again = refused.map((i) => operations[i]!);
      if (!(await this.#quotas.makeRoom(store, partition, again.map(needOf).reduce(plus)))) break;
      const derived = idempotency === undefined ? undefined : forRound(idempotency, round);
      const answers = await this.#judge(partition, store, again, session, derived);
      for (const [at, i] of refused.entries()) results[i] = answers[at]!;
    }
    return results;
  }

  async #judge(
    partition: number,
    store: string,
    operations: readonly Operation[],
    session: ClientSession,
    idempotency: Idempotency | undefined,
  ): Promise<readonly OperationResult[]> {
    const body: Mutate = { kind: 'mutate', store, atomic: false, checks: noChecks, operations };
    const result = await this.#proposer.propose(partition, body, idempotency);
    if (result.code === 'moved') return operations.map(() => operationResult('moved'));
    session.saw(partition, result);
    if (result.code !== 'done') throw refusal(result.code, store, keyText(operations[0]!.key));
    return result.operations;
  }

  /** All or nothing. Throws the refusal, with `failedIndex`: of the checks first, then of the operations. */
  async transaction(
    store: string,
    checks: readonly Check[],
    operations: readonly Operation[],
    session: ClientSession,
    idempotency?: Idempotency,
  ): Promise<readonly OperationResult[]> {
    const body: Mutate = { kind: 'mutate', store, atomic: true, checks, operations };
    const keys = [...checks, ...operations].map(({ key }) => key);
    for (let round = 0; ; round++) {
      const { partition, proposed: result } = await this.#settled(body, keys[0]!, session, idempotency);
      if (result.code === 'done') return result.operations;
      const more =
        result.code === 'quota_exceeded' &&
        round < limits.quotaRoundsMax &&
        (await this.#quotas.makeRoom(store, partition, operations.map(needOf).reduce(plus)));
      if (!more) throw failedTransaction(store, keys, checks.length, result);
    }
  }
}

/** Nothing of it was done: its slot is another partition's, or about to be. */
function hasMoved({ code, operations }: Proposed): boolean {
  return code === 'moved' || (operations.length > 0 && operations.every((result) => result.code === 'moved'));
}

function isMovedResult(outcome: Outcome): boolean {
  return !(outcome instanceof StateStoreError) && outcome.code === 'moved';
}

function failedTransaction(
  store: string,
  keys: readonly BinaryString[],
  checks: number,
  { code, failedIndex, operations }: Proposed,
): StateStoreError {
  const refused = code as Exclude<ResultCode, 'done'>;
  // Refused unread: no check and no operation is to blame.
  if (operations.length === 0) return refusal(refused, store, keyText(keys[0]!));
  const failedKey = keyText(keys[failedIndex] ?? '');
  const why =
    failedIndex < checks
      ? new StateStoreError('precondition_failed', `the check of ${JSON.stringify(failedKey)} does not hold`)
      : refusal(refused, store, failedKey, operations[failedIndex - checks]);
  const extra = { ...why.extra, failedIndex, failedKey };
  const hint = why.hint === undefined ? {} : { hint: why.hint };
  return new StateStoreError(why.code, `${why.message}; nothing of the transaction on store ${store} was done`, {
    ...hint,
    extra,
  });
}

/** At most this much quota is used by an operation. */
function needOf(operation: Operation): Amount {
  switch (operation.kind) {
    case 'put':
    case 'append':
    case 'mergePatch':
      return { entries: 1, bytes: operation.key.length + operation.value.length };
    case 'increment':
      return { entries: 1, bytes: operation.key.length + 20 };
    case 'delete':
    case 'touch':
      return { entries: 0, bytes: 0 };
  }
}

function plus(a: Amount, b: Amount): Amount {
  return { entries: a.entries + b.entries, bytes: a.bytes + b.bytes };
}

/** A slot's part of a many-key call is a request of its own, the same one whoever has the slot. */
function forSlot({ id, fingerprint: of }: Idempotency, slot: number): Idempotency {
  return { id: fingerprint(bytesFromBinary(id + binaryFromText(`slot ${slot}`))), fingerprint: of };
}

/** What is left of a many-key call after a round is a call of its own; a client's retry walks the same rounds. */
function forRound({ id, fingerprint: of }: Idempotency, round: number): Idempotency {
  return { id: fingerprint(bytesFromBinary(id + binaryFromText(`quota ${round}`))), fingerprint: of };
}
