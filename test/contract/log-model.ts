// The property test of the log contract: any order of appending, subscribing, trimming and opening
// again, against an array of what was appended.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limits } from '@statestore/core';
import type { AppendOutcome, Log } from '../../services/node/src/log/log.ts';
import type { LogFixture } from './log-collector.ts';
import { Collector, expectRecords, payload, positionOf } from './log-collector.ts';

type Step =
  | { readonly kind: 'append'; readonly sizes: readonly number[]; readonly wait: boolean }
  | { readonly kind: 'subscribe'; readonly at: number; readonly slow: boolean }
  | { readonly kind: 'unsubscribe'; readonly which: number }
  | { readonly kind: 'trim'; readonly at: number }
  | { readonly kind: 'reopen' };

const part = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.oneof(fc.nat(100), fc.nat(6000)), { minLength: 1, maxLength: 20 }),
      wait: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('subscribe' as const), at: part, slow: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unsubscribe' as const), which: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim' as const), at: part }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);

/** A log beside an array: what was appended, in order. */
class Run {
  private readonly fixture: LogFixture;
  private log: Log;
  private readonly model: Uint8Array[] = [];
  private inFlight: Promise<AppendOutcome>[] = [];
  /** Records below this one may be gone. */
  private trimmedBelow = 1n;
  private open: { readonly collector: Collector; readonly from: bigint }[] = [];

  constructor(fixture: LogFixture, log: Log) {
    this.fixture = fixture;
    this.log = log;
  }

  async do(doing: Step): Promise<void> {
    switch (doing.kind) {
      case 'append':
        if (this.inFlight.length + doing.sizes.length > limits.logInFlightMax) await this.settle();
        for (const size of doing.sizes) {
          const bytes = payload(this.model.length, size);
          this.model.push(bytes);
          this.inFlight.push(this.log.append(bytes));
        }
        return doing.wait ? this.settle() : undefined;
      case 'subscribe':
        return this.subscribe(doing.at, doing.slow);
      case 'unsubscribe': {
        const [closing] = this.open.splice(doing.which, 1);
        await closing?.collector.subscription.close();
        if (closing !== undefined) expectRecords(closing.collector.records, closing.from, this.model);
        return;
      }
      case 'trim':
        return this.trim(doing.at);
      case 'reopen':
        await this.finish();
        this.log = await this.fixture.open();
    }
  }

  /** Every subscriber gets all there is; then the log is closed. */
  async finish(): Promise<void> {
    await this.settle();
    const last = BigInt(this.model.length);
    for (const { collector, from } of this.open) {
      if (from <= last) await collector.reached(last);
      expectRecords(collector.records, from, this.model);
    }
    this.open = [];
    await this.log.close();
  }

  private async settle(): Promise<void> {
    const outcomes = await Promise.all(this.inFlight);
    const before = BigInt(this.model.length - outcomes.length);
    this.inFlight = [];
    expect(outcomes.map(positionOf)).toEqual(outcomes.map((_, i) => before + BigInt(i) + 1n));
    expect((await this.log.bounds()).last).toBe(BigInt(this.model.length));
  }

  private async subscribe(at: number, slow: boolean): Promise<void> {
    const { first, last } = await this.log.bounds();
    const from = first + BigInt(Math.round(at * Number(last + 1n - first)));
    const pause = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    this.open.push({ from, collector: new Collector(this.log, from, slow ? pause : undefined) });
  }

  private async trim(at: number): Promise<void> {
    await this.settle();
    const below = BigInt(Math.round(at * this.model.length));
    // Whoever is still behind would rightly be told that it was trimmed.
    for (const { collector, from } of this.open) {
      if (from <= BigInt(this.model.length)) await collector.reached(BigInt(this.model.length));
    }
    await this.log.trim(below);
    // An earlier one may have gone further: a log that trims exactly shows it.
    if (below > this.trimmedBelow) this.trimmedBelow = below;
    expect((await this.log.bounds()).first <= this.trimmedBelow).toBe(true);
  }
}

export function logPropertyTest(name: string, make: () => Promise<LogFixture>): void {
  test(`log contract: ${name}: any order of appending, subscribing, trimming and opening again matches an array`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const fixture = await make();
        try {
          const run = new Run(fixture, await fixture.open());
          for (const doing of steps) await run.do(doing);
          await run.finish();
        } finally {
          await fixture.dispose();
        }
      }),
      { numRuns: 60 },
    );
  });
}
