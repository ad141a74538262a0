// The naive model that apply is held against: maps, arrays, linear scans, a deep copy for a rollback.
// Written from the promises (docs, command.ts, result.ts), not from the code, and kept slow and plain.
import type {
  Change,
  Command,
  CommandBody,
  CommandResult,
  Condition,
  Operation,
  OperationResult,
  ResultCode,
  Ttl,
} from '@statestore/core';
import { commandResult, limits, operationResult } from '@statestore/core';
import { heldBack, isMoved, ownsAll, reshaped } from './model-reshape.ts';
import type { Staged } from './model-reshape.ts';
import type { ModelData, ModelEntry, ModelStore } from './model-store.ts';
import { emptyStore, isDefault } from './model-store.ts';
import { makeValue } from './model-value.ts';
import { encodeChanges } from '../../services/core/src/keyspace/change.ts';

export type { ModelData } from './model-store.ts';

const ascending = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const temporary = new Set<ResultCode>(['quota_exceeded', 'overloaded', 'too_many_stores', 'session_expired', 'moved']);

export class Model {
  data: ModelData = {
    clockNanos: 0n,
    revision: 0n,
    nextOrdinal: 1,
    expired: 0,
    stores: new Map(),
    retired: [],
    sessions: new Map(),
    idempotency: [],
    changeRecords: [],
    owned: { ...ownsAll },
  };
  /** Before an absorb: the entries that are staged for it. */
  staged: Staged = new Map();
  #position = 0n;
  changes: Change[] = [];

  get clockMs(): number {
    return Number(this.data.clockNanos / 1_000_000n);
  }

  applyBatch(position: bigint, timestampNanos: bigint, commands: readonly Command[]): CommandResult[] {
    const { data } = this;
    this.#position = position;
    if (timestampNanos > data.clockNanos) data.clockNanos = timestampNanos;
    this.changes = [];
    const results = commands.map((command) => this.#once(command));
    if (this.changes.length > 0) {
      const record = encodeChanges({ changes: this.changes, clockNanos: data.clockNanos });
      this.data.changeRecords.push({ position, bytes: 9 + record.length });
    }
    return results;
  }

  /** What a reader sees. */
  live(store: string, key: string, wallMs: number): ModelEntry | undefined {
    const entry = this.data.stores.get(store)?.entries.get(key);
    if (entry === undefined) return undefined;
    const gone = entry.expiresAtMs !== 0 && entry.expiresAtMs <= Math.max(wallMs, this.clockMs);
    return gone ? undefined : entry;
  }

  bytesOf(store: ModelStore): number {
    return [...store.entries].reduce((sum, [key, { value }]) => sum + key.length + value.length, 0);
  }

  // Exactly once.

  #once(command: Command): CommandResult {
    const { stamp } = command;
    if (stamp === undefined) return this.#oncePerKey(command);
    let session = this.data.sessions.get(stamp.session);
    if (session === undefined) {
      if (!stamp.opens) return commandResult('session_expired');
      session = { firstUnanswered: 0, lastUsedMs: 0, results: new Map() };
      this.data.sessions.set(stamp.session, session);
    }
    session.lastUsedMs = this.clockMs;
    session.firstUnanswered = Math.max(session.firstUnanswered, stamp.firstUnanswered);
    for (const counter of session.results.keys()) {
      if (counter < session.firstUnanswered) session.results.delete(counter);
    }
    if (stamp.counter < session.firstUnanswered) return commandResult('already_answered');
    const before = session.results.get(stamp.counter);
    if (before !== undefined) return before;
    const result = this.#oncePerKey(command);
    this.data.sessions.get(stamp.session)?.results.set(stamp.counter, result);
    return result;
  }

  #oncePerKey(command: Command): CommandResult {
    const { idempotency } = command;
    if (idempotency === undefined) return this.#judge(command);
    const { id, fingerprint } = idempotency;
    const before = this.data.idempotency.find((record) => record.id === id);
    if (before !== undefined)
      return before.fingerprint === fingerprint ? before.result : commandResult('idempotency_key_reused');
    const result = this.#judge(command);
    const codes =
      result.code === 'done' && result.operations.length > 0
        ? result.operations.map(({ code }) => code)
        : [result.code];
    if (codes.every((code) => temporary.has(code))) return result;
    this.data.idempotency.push({ id, fingerprint, judgedAtMs: this.clockMs, result });
    return result;
  }

  #judge({ slotsEpoch, body }: Command): CommandResult {
    const { owned } = this.data;
    if (slotsEpoch !== undefined && slotsEpoch !== owned.slotsEpoch) return commandResult('moved');
    return heldBack(owned, body) ?? this.#perform(body);
  }

  #perform(body: CommandBody): CommandResult {
    switch (body.kind) {
      case 'mutate': {
        if (body.atomic) return this.#transaction(body);
        return commandResult('done', {
          operations: body.operations.map((operation) =>
            isMoved(this.data.owned, body.store, operation.key)
              ? operationResult('moved')
              : this.#operate(body.store, operation),
          ),
        });
      }
      case 'clear':
        return this.#clear(body.store);
      case 'configure':
        return this.#configure(body);
      case 'adjustAllowance': {
        const store = this.data.stores.get(body.store);
        if ((store?.settingsVersion ?? 0) !== body.settingsVersion) return commandResult('precondition_failed');
        if (store === undefined) return commandResult('done');
        const entries = change(store.allowanceEntries, store.entries.size, body.entries);
        const bytes = change(store.allowanceBytes, this.bytesOf(store), body.bytes);
        if (store.allowanceEntries !== undefined) store.allowanceEntries += entries;
        if (store.allowanceBytes !== undefined) store.allowanceBytes += bytes;
        return commandResult('done', { entries, bytes });
      }
      case 'sweep':
        return this.#sweep(body);
      case 'barrier':
        return commandResult('done');
      default:
        return reshaped(this.data, this.#position, body, this.staged);
    }
  }

  // Entries.

  #transaction({ store, checks, operations }: CommandBody & { kind: 'mutate' }): CommandResult {
    const before = structuredClone(this.data);
    const changesBefore = this.changes.length;
    const notRun = operations.map(() => operationResult('not_run'));
    const moved = [...checks, ...operations].findIndex(({ key }) => isMoved(before.owned, store, key));
    if (moved !== -1) return commandResult('moved', { failedIndex: moved, operations: notRun });
    const failedCheck = checks.findIndex(({ key, condition }) => !holds(condition, this.live(store, key, 0)));
    if (failedCheck !== -1)
      return commandResult('precondition_failed', { failedIndex: failedCheck, operations: notRun });
    const results: OperationResult[] = [];
    for (const [i, operation] of operations.entries()) {
      const result = this.#operate(store, operation);
      if (result.code !== 'done') {
        this.data = before;
        this.changes.length = changesBefore;
        return commandResult(result.code, { failedIndex: checks.length + i, operations: notRun.with(i, result) });
      }
      results.push(result);
    }
    return commandResult('done', { operations: results });
  }

  #operate(name: string, operation: Operation): OperationResult {
    const { key } = operation;
    const live = this.live(name, key, 0);
    const stands =
      live === undefined
        ? {}
        : { existed: true, revision: live.revision, expiresAtMs: live.expiresAtMs, sizeBytes: live.value.length };
    if (!holds(operation.condition, live)) return operationResult('precondition_failed', stands);
    if (operation.kind === 'delete') {
      if (live === undefined) return operationResult('done');
      this.data.stores.get(name)!.entries.delete(key);
      return operationResult('done', { existed: true, revision: this.#effect('delete', name, key) });
    }
    const made = makeValue(operation, live);
    if (typeof made === 'string') return operationResult(made, stands);
    if (made.value.length > limits.valueBytesMax) return operationResult('value_would_be_too_large', stands);
    if (this.#overQuota(name, key, made.value.length)) return operationResult('quota_exceeded', stands);
    const expiresAtMs = this.#expiry(name, operation.ttl, live, operation.kind === 'put');
    const store = this.#storeToWrite(name);
    const revision = this.#effect('put', name, key);
    store.entries.set(key, { value: made.value, contentType: made.contentType, revision, expiresAtMs });
    return operationResult('done', {
      revision,
      existed: live !== undefined,
      number: made.number ?? 0n,
      sizeBytes: made.value.length,
      expiresAtMs,
    });
  }

  #effect(kind: Change['kind'], store: string, key: string): bigint {
    const revision = ++this.data.revision;
    this.changes.push({ kind, revision, store, key });
    return revision;
  }

  #storeToWrite(name: string): ModelStore {
    const store = this.data.stores.get(name) ?? emptyStore();
    this.data.stores.set(name, store);
    if (store.ordinal === 0) store.ordinal = this.data.nextOrdinal++;
    return store;
  }

  #expiry(name: string, ttl: Ttl, live: ModelEntry | undefined, isPut: boolean): number {
    if (ttl.kind === 'never') return 0;
    if (ttl.kind === 'after') return this.clockMs + ttl.ms;
    if (live !== undefined && (ttl.kind === 'keep' || !isPut)) return live.expiresAtMs;
    const byDefault = this.data.stores.get(name)?.settings.defaultTtlMs ?? 0;
    return byDefault === 0 ? 0 : this.clockMs + byDefault;
  }

  #overQuota(name: string, key: string, size: number): boolean {
    const store = this.data.stores.get(name);
    if (store === undefined) return false;
    const before = store.entries.get(key);
    const bytes = this.bytesOf(store);
    const more = before === undefined ? key.length + size : size - before.value.length;
    if (before === undefined && store.entries.size + 1 > (store.allowanceEntries ?? Infinity)) return true;
    return more > 0 && bytes + more > (store.allowanceBytes ?? Infinity);
  }

  // Stores.

  #clear(name: string): CommandResult {
    const store = this.data.stores.get(name);
    if (store === undefined) return commandResult('done');
    const count = store.entries.size;
    if (store.ordinal !== 0) {
      const entries = [...store.entries].map(([key, { expiresAtMs }]) => ({
        key,
        expiresAtMs,
        indexed: expiresAtMs !== 0,
      }));
      this.data.retired.push({ ordinal: store.ordinal, entries });
    }
    store.ordinal = 0;
    store.entries = new Map();
    this.#effect('clear', name, '');
    if (isDefault(store.settings)) this.data.stores.delete(name);
    return commandResult('done', { count });
  }

  #configure(body: CommandBody & { kind: 'configure' }): CommandResult {
    const known = this.data.stores.get(body.store);
    const version = known?.settingsVersion ?? 0;
    if (body.settingsVersion < version || (version > 0 && body.settingsVersion === version))
      return commandResult('precondition_failed');
    const used = {
      entries: known?.entries.size ?? 0,
      bytes: known === undefined ? 0 : this.bytesOf(known),
    };
    if ((known === undefined || known.ordinal === 0) && isDefault(body.settings)) {
      this.data.stores.delete(body.store);
      return commandResult('done', used);
    }
    const store = known ?? emptyStore();
    store.settings = body.settings;
    store.settingsVersion = body.settingsVersion;
    store.allowanceEntries = body.allowanceEntries;
    store.allowanceBytes = body.allowanceBytes;
    this.data.stores.set(body.store, store);
    return commandResult('done', used);
  }

  // Sweep: expired entries, idempotency, sessions, cleared keyspaces, changes; at most `limit` records.

  #sweep({ limit, changesKeptBytes, countStore, forgetBeforeMs }: CommandBody & { kind: 'sweep' }): CommandResult {
    let left = limit;
    const { count, removed } = this.#sweepExpired(left, countStore);
    left -= removed;
    const { data, clockMs } = this;
    // Of an older version: by the clock. Never what was remembered at the clock's present time.
    const beforeMs = forgetBeforeMs ?? clockMs - limits.deduplicationWindowMs + 1;
    const isForgotten = (atMs: number): boolean => atMs < Math.min(beforeMs, clockMs);
    const due = data.idempotency
      .filter(({ judgedAtMs }) => isForgotten(judgedAtMs))
      .toSorted((a, b) => a.judgedAtMs - b.judgedAtMs || ascending(a.id, b.id))
      .slice(0, left);
    data.idempotency = data.idempotency.filter((record) => !due.includes(record));
    left -= due.length;
    const idle = [...data.sessions.keys()]
      .filter((id) => isForgotten(data.sessions.get(id)!.lastUsedMs))
      .toSorted(ascending)
      .slice(0, left);
    for (const id of idle) data.sessions.delete(id);
    left -= idle.length;
    left -= this.#sweepRetired(left);
    while (left > 0 && data.changeRecords.reduce((sum, { bytes }) => sum + bytes, 0) > changesKeptBytes) {
      data.changeRecords.shift();
      left--;
    }
    return commandResult('done', { count, removed: limit - left, more: left === 0 });
  }

  #sweepExpired(limit: number, countStore: string): { count: number; removed: number } {
    const due: { expiresAtMs: number; ordinal: number; key: string; remove: () => string | undefined }[] = [];
    for (const [name, { ordinal, entries }] of this.data.stores) {
      for (const [key, { expiresAtMs }] of entries) {
        const remove = (): string => {
          const store = this.data.stores.get(name)!;
          store.entries.delete(key);
          store.expired++;
          this.data.expired++;
          this.#effect('expire', name, key);
          return name;
        };
        if (expiresAtMs !== 0) due.push({ expiresAtMs, ordinal, key, remove });
      }
    }
    for (const { ordinal, entries } of this.data.retired) {
      for (const entry of entries) {
        const remove = (): undefined => void (entry.indexed = false);
        if (entry.indexed) due.push({ expiresAtMs: entry.expiresAtMs, ordinal, key: entry.key, remove });
      }
    }
    const removed = due
      .filter(({ expiresAtMs }) => expiresAtMs <= this.clockMs)
      .toSorted((a, b) => a.expiresAtMs - b.expiresAtMs || a.ordinal - b.ordinal || ascending(a.key, b.key))
      .slice(0, limit)
      .map(({ remove }) => remove());
    const counted = removed.filter((name) => name !== undefined && (countStore === '' || countStore === name));
    return { count: counted.length, removed: removed.length };
  }

  #sweepRetired(limit: number): number {
    let left = limit;
    this.data.retired.sort((a, b) => a.ordinal - b.ordinal);
    while (left > 0 && this.data.retired.length > 0) {
      const { entries } = this.data.retired[0]!;
      entries.sort((a, b) => ascending(a.key, b.key));
      left -= entries.splice(0, left).length;
      if (left === 0) break;
      this.data.retired.shift();
      left--;
    }
    return limit - left;
  }
}

function holds(condition: Condition, live: ModelEntry | undefined): boolean {
  if (condition.kind === 'absent') return live === undefined;
  if (condition.kind === 'exists') return live !== undefined;
  return condition.kind === 'none' || live?.revision === condition.revision;
}

function change(allowance: number | undefined, used: number, by: number): number {
  if (allowance === undefined) return 0;
  if (by >= 0) return by;
  const unused = Math.max(0, allowance - used);
  return unused >= -by ? by : 0 - unused;
}
