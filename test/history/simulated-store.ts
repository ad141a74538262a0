// A perfect store for simulated histories: it keeps every version, so that relaxed reads can be shown an
// earlier state, as a replica that lags would show it.
import type { HistoryEvent, Operation } from './history.ts';

export const simulatedAccounts = { alice: 100, bob: 50, carol: 0 } as const;
export const simulatedRegisters: readonly string[] = ['r0', 'r1'];

type Answer = Pick<HistoryEvent, 'outcome' | 'result' | 'revision' | 'revisions'>;

interface Version {
  /** Of the effect that made it. */
  readonly position: number;
  /** Null: absent. */
  readonly value: string | null;
  readonly revision: number;
  readonly expiresAtMs: number;
}

const absent: Version = { position: 0, value: null, revision: 0, expiresAtMs: Infinity };

export class PerfectStore {
  /** Effects so far. */
  position = 0;
  /** When the history begins. */
  readonly firstPosition: number;
  #revision = 0;
  readonly #versions = new Map<string, Version[]>();

  constructor() {
    for (const [name, balance] of Object.entries(simulatedAccounts)) this.#put(name, String(balance));
    this.firstPosition = this.position;
  }

  /** Null: absent. */
  value(key: string, nowMs: number): string | null {
    return this.#at(key, this.position, nowMs).value;
  }

  /** Reads show the state of `position`. */
  read(key: string, operation: Operation, position: number, nowMs: number): Answer {
    switch (operation.kind) {
      case 'read':
        return told(this.#at(key, position, nowMs));
      case 'scan': {
        const found = simulatedRegisters.map((name) => [name, this.#at(name, position, nowMs)] as const);
        const there = found.filter(([, { value }]) => value !== null);
        return { outcome: 'ok', result: there.map(([name, at]) => [name, at.value!, String(at.revision)]) };
      }
      case 'audit': {
        const found = Object.keys(simulatedAccounts).map((name) => [name, this.#at(name, position, nowMs)] as const);
        return {
          outcome: 'ok',
          result: Object.fromEntries(found.map(([name, { value }]) => [name, Number(value)])),
          revisions: Object.fromEntries(found.map(([name, { revision }]) => [name, String(revision)])),
          revision: String(Math.max(...found.map(([, { revision }]) => revision))),
        };
      }
      default:
        throw new Error(`${operation.kind} is no read`);
    }
  }

  write(key: string, operation: Operation, nowMs: number): Answer {
    const { value } = this.#at(key, this.position, nowMs);
    switch (operation.kind) {
      case 'write':
        return told(this.#put(key, operation.value), undefined);
      case 'writeExpiring':
        return told(this.#put(key, operation.value, nowMs + operation.ttlMs), undefined);
      case 'compareAndSet':
        if (value !== operation.expected) return { outcome: 'conflict' };
        return told(this.#put(key, operation.value), undefined);
      case 'delete':
        this.#put(key, null);
        // As in the API: a delete is told no revision.
        return { outcome: 'ok' };
      case 'increment': {
        const sum = Number(value ?? 0) + operation.amount;
        return told(this.#put(key, String(sum)), sum);
      }
      case 'append':
        return told(this.#put(key, (value ?? '') + operation.token), undefined);
      case 'transfer':
        return this.#transfer(key, operation.to, operation.amount, nowMs);
      default:
        throw new Error(`${operation.kind} is no write`);
    }
  }

  #transfer(from: string, to: string, amount: number, nowMs: number): Answer {
    const [source, target] = [from, to].map((name) => Number(this.#at(name, this.position, nowMs).value));
    if (source! < amount) return { outcome: 'conflict' };
    // Both at one position: no reader sees the one without the other.
    const taken = this.#put(from, String(source! - amount));
    this.position--;
    const given = this.#put(to, String(target! + amount));
    return {
      outcome: 'ok',
      result: { [from]: source! - amount, [to]: target! + amount },
      revision: String(given.revision),
      revisions: { [from]: String(taken.revision), [to]: String(given.revision) },
    };
  }

  #put(key: string, value: string | null, expiresAtMs = Infinity): Version {
    const version = { position: ++this.position, value, revision: ++this.#revision, expiresAtMs };
    const versions = this.#versions.get(key) ?? [];
    this.#versions.set(key, versions);
    versions.push(version);
    return version;
  }

  #at(key: string, position: number, nowMs: number): Version {
    const found = this.#versions.get(key)?.findLast((version) => version.position <= position) ?? absent;
    return found.expiresAtMs <= nowMs ? absent : found;
  }
}

/** `result`: what the answer shows beside the revision; by default the value. */
function told(version: Version, ...result: readonly (number | undefined)[]): Answer {
  const shown = result.length === 0 ? version.value : result[0];
  return {
    outcome: 'ok',
    ...(shown !== undefined && { result: shown }),
    ...(version.value !== null && { revision: String(version.revision) }),
  };
}
