// What tests of logs share: the fixture, records to append, and a subscriber that keeps what it is given.
import { expect } from 'vitest';
import { limits } from '@statestore/core';
import type { AppendOutcome, Log, LogRecord, Subscription, SubscriptionEnd } from '../../services/node/src/log/log.ts';

/** One log, empty at first. */
export interface LogFixture {
  /** Opens it; again after it was closed, with what it held. */
  open(): Promise<Log>;
  /** Removes it. It is closed. */
  dispose(): Promise<void>;
}

export function positionOf(outcome: AppendOutcome): bigint {
  if (outcome.kind !== 'appended') throw new Error(`not appended: ${JSON.stringify(outcome)}`);
  return outcome.position;
}

export function payload(seed: number, length = 40): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7) & 0xff);
}

/** Appends all at once, a window at a time. */
export async function appendAll(log: Log, payloads: readonly Uint8Array[]): Promise<bigint[]> {
  const positions: bigint[] = [];
  for (let i = 0; i < payloads.length; i += limits.logInFlightMax) {
    const window = payloads.slice(i, i + limits.logInFlightMax);
    positions.push(...(await Promise.all(window.map((bytes) => log.append(bytes)))).map(positionOf));
  }
  return positions;
}

/** A subscriber that keeps what it is given. */
export class Collector {
  readonly records: LogRecord[] = [];
  readonly subscription: Subscription;
  end: SubscriptionEnd | undefined;
  private waiters: { position: bigint; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(log: Log, from: bigint, onRecords?: (records: readonly LogRecord[]) => void | Promise<void>) {
    this.subscription = log.subscribe({
      from,
      onRecords: (records) => {
        this.records.push(...records);
        this.wake();
        return onRecords?.(records);
      },
    });
    void this.subscription.ended.then((end) => {
      this.end = end;
      this.wake();
    });
  }

  get positions(): bigint[] {
    return this.records.map(({ position }) => position);
  }

  /** Resolves when the record of this position was delivered. */
  async reached(position: bigint): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.waiters.push({ position, resolve, reject });
      this.wake();
    });
  }

  private wake(): void {
    const last = this.records.at(-1)?.position ?? 0n;
    const { end } = this;
    this.waiters = this.waiters.filter(({ position, resolve, reject }) => {
      if (last >= position) resolve();
      else if (end !== undefined)
        reject(new Error(`ended (${end.kind}) at ${last}, waiting for ${position}`, { cause: end }));
      return last < position && end === undefined;
    });
  }
}

export function range(from: bigint, through: bigint): bigint[] {
  return Array.from({ length: Number(through - from) + 1 }, (_, i) => from + BigInt(i));
}

export function payloads(count: number, length?: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => payload(i, length));
}

/** Records against what was appended: `all[0]` is position 1. */
export function expectRecords(records: readonly LogRecord[], from: bigint, all: readonly Uint8Array[]): void {
  expect(records.map(({ position }) => position)).toEqual(range(from, from + BigInt(records.length) - 1n));
  for (const { position, bytes } of records) {
    expect(Buffer.compare(bytes, all[Number(position) - 1] ?? new Uint8Array(0)), `bytes at position ${position}`).toBe(
      0,
    );
  }
}
