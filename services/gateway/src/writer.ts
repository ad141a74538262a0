// Writes of entries: proposed to their partition, tried again after quota was moved there, and their
// refusals turned into errors that name the key.
import {
  fingerprint,
  limits,
  binaryFromText,
  bytesFromBinary,
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
import { keyText } from './names.ts';
import type { CommandProposer } from './proposer.ts';
import type { Amount, Quotas } from './quota.ts';
import { refusal } from './refusals.ts';
import type { Routing } from './routing.ts';

const noChecks: readonly Check[] = [];

export class Writer {
  readonly #routing: Routing;
  readonly #proposer: CommandProposer;
  readonly #quotas: Quotas;

  constructor(routing: Routing, proposer: CommandProposer, quotas: Quotas) {
    this.#routing = routing;
    this.#proposer = proposer;
    this.#quotas = quotas;
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
      const partition = this.#routing.partitionOf(store, operation.key);
      const proposed = await this.#proposer.propose(partition, body, idempotency);
      session.saw(partition, proposed);
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

  /**
   * Operations on keys of one partition, each judged for itself. Throws only where all were refused
   * unread.
   */
  async many(
    partition: number,
    store: string,
    operations: readonly Operation[],
    session: ClientSession,
    idempotency?: Idempotency,
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
      const partition = this.#routing.partitionOf(store, keys[0]!);
      const result = await this.#proposer.propose(partition, body, idempotency);
      session.saw(partition, result);
      if (result.code === 'done') return result.operations;
      const more =
        result.code === 'quota_exceeded' &&
        round < limits.quotaRoundsMax &&
        (await this.#quotas.makeRoom(store, partition, operations.map(needOf).reduce(plus)));
      if (!more) throw failedTransaction(store, keys, checks.length, result);
    }
  }
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

/** What is left of a many-key call after a round is a call of its own; a client's retry walks the same rounds. */
function forRound({ id, fingerprint: of }: Idempotency, round: number): Idempotency {
  return { id: fingerprint(bytesFromBinary(id + binaryFromText(`quota ${round}`))), fingerprint: of };
}
