// What a load came to, counted while it runs.
import type { Histogram } from 'hdr-histogram-js';
import { build } from 'hdr-histogram-js';
import { limits } from '@statestore/core';

/** Microseconds: 1 µs to 10 minutes at 3 digits. */
function newLatencies(): Histogram {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: 3 });
}

/** A count with its first few occurrences spelled out. */
export class Tally {
  count = 0;
  readonly examples: string[] = [];

  add(example: string): void {
    this.count++;
    if (this.examples.length < limits.loadExamplesMax) this.examples.push(example);
  }
}

export class Totals {
  /** Acknowledged by the server (or, verifying, found equal). */
  entries = 0;
  /** Of their values. */
  bytes = 0;
  calls = 0;
  retries = 0;
  readonly latenciesMicros = newLatencies();
  readonly duplicates = new Tally();
  readonly badRecords = new Tally();
  /** Entries that the server refused or that were given up, by error code. */
  readonly refused = new Map<string, Tally>();
  /** Retried calls and entries by what stood in the way. */
  readonly retriedBy = new Map<string, number>();
  /** Verify: entries that are absent or differ. */
  readonly mismatches = new Tally();

  refuse(code: string, example: string): void {
    let tally = this.refused.get(code);
    if (tally === undefined) this.refused.set(code, (tally = new Tally()));
    tally.add(example);
  }

  retry(code: string): void {
    this.retries++;
    this.retriedBy.set(code, (this.retriedBy.get(code) ?? 0) + 1);
  }

  get failed(): number {
    let failed = this.badRecords.count + this.mismatches.count;
    for (const { count } of this.refused.values()) failed += count;
    return failed;
  }
}

export interface PhaseSummary {
  readonly entries: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly entriesPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly calls: number;
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  readonly retries: number;
  readonly retriedBy: Readonly<Record<string, number>>;
  readonly duplicates: number;
  readonly badRecords: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly mismatches: number;
  readonly examples: readonly string[];
}

export function summarize(totals: Totals, seconds: number): PhaseSummary {
  const { latenciesMicros } = totals;
  const ms = (percentile: number): number => latenciesMicros.getValueAtPercentile(percentile) / 1000;
  const refused = [...totals.refused];
  return {
    entries: totals.entries,
    bytes: totals.bytes,
    seconds,
    entriesPerSecond: totals.entries / seconds,
    megabytesPerSecond: totals.bytes / 1e6 / seconds,
    calls: totals.calls,
    latencyMs: { p50: ms(50), p90: ms(90), p99: ms(99), max: latenciesMicros.maxValue / 1000 },
    retries: totals.retries,
    retriedBy: Object.fromEntries(totals.retriedBy),
    duplicates: totals.duplicates.count,
    badRecords: totals.badRecords.count,
    refused: Object.fromEntries(refused.map(([code, { count }]) => [code, count])),
    mismatches: totals.mismatches.count,
    examples: [
      ...totals.badRecords.examples,
      ...totals.mismatches.examples,
      ...refused.flatMap(([code, { examples }]) => examples.map((example) => `${code}: ${example}`)),
    ],
  };
}
