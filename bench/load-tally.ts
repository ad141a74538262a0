// What the load generator counts while something is measured: answers, how long they took, its own CPU. Time that is
// measured may come in pieces.
import { build } from 'hdr-histogram-js';
import type { GeneratorResult } from './drive.ts';

function emptyHistogram() {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: 3 });
}

export class LoadTally {
  #latencies = emptyHistogram();
  #statuses = new Map<number, number>();
  #requests = 0;
  #receivedBytes = 0;
  #seconds = 0;
  #cpuSeconds = 0;
  #since: { readonly ms: number; readonly cpu: NodeJS.CpuUsage } | undefined;

  /** Nothing where it is measured already. */
  begin(): void {
    this.#since ??= { ms: performance.now(), cpu: process.cpuUsage() };
  }

  end(): void {
    if (this.#since === undefined) return;
    const cpu = process.cpuUsage(this.#since.cpu);
    this.#seconds += (performance.now() - this.#since.ms) / 1000;
    this.#cpuSeconds += (cpu.user + cpu.system) / 1e6;
    this.#since = undefined;
  }

  /** Counts only while something is measured. */
  answered(status: number, ms: number, bytes: number): void {
    if (this.#since === undefined) return;
    this.#requests++;
    this.#receivedBytes += bytes;
    this.#latencies.recordValue(Math.max(1, Math.round(ms * 1000)));
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
  }

  /** What was counted since the last time that this was called. */
  take(): GeneratorResult {
    const result: GeneratorResult = {
      requests: this.#requests,
      seconds: this.#seconds,
      requestsPerSecond: this.#requests / this.#seconds,
      megabytesPerSecond: this.#receivedBytes / 1e6 / this.#seconds,
      p50Ms: this.#latencies.getValueAtPercentile(50) / 1000,
      p99Ms: this.#latencies.getValueAtPercentile(99) / 1000,
      maxMs: this.#latencies.maxValue / 1000,
      generatorCpuShare: this.#cpuSeconds / this.#seconds,
      statuses: Object.fromEntries(this.#statuses),
    };
    this.#latencies = emptyHistogram();
    this.#statuses = new Map();
    [this.#requests, this.#receivedBytes, this.#seconds, this.#cpuSeconds] = [0, 0, 0, 0];
    return result;
  }
}
