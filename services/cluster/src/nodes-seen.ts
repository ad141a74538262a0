// What a coordinator knows of nodes over time: who is there, and who has been silent for so long that it is
// given up. On its own clock, from when it began to look: one that just started gives up nobody.
import { StateStoreError, limits } from '@statestore/core';
import type { Clock } from './clock.ts';
import type { NodeRegistry, NodeReport, ObservedNode, RegistryWatch } from './node-registry.ts';

export class NodesSeen {
  readonly #clock: Clock;
  readonly #giveUpAfterMs: number;
  readonly #watch: RegistryWatch;
  readonly #silentSinceMs = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #nodes: ReadonlyMap<string, ObservedNode> | undefined;
  #closed = false;

  constructor(registry: NodeRegistry, clock: Clock, giveUpAfterMs: number) {
    this.#clock = clock;
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#watch = registry.watch((nodes) => {
      this.#nodes = nodes;
      const nowMs = clock.elapsedMs();
      for (const [name, { live }] of nodes) {
        if (live) this.#silentSinceMs.delete(name);
        else if (!this.#silentSinceMs.has(name)) this.#silentSinceMs.set(name, nowMs);
      }
      for (const listener of this.#listeners) listener();
    });
  }

  /** Undefined: nothing was heard yet. */
  get nodes(): ReadonlyMap<string, ObservedNode> | undefined {
    return this.#nodes;
  }

  /** Of the nodes that are known and those that are named. */
  givenUp(named: readonly string[]): ReadonlySet<string> {
    const nowMs = this.#clock.elapsedMs();
    const given = new Set<string>();
    for (const name of new Set([...named, ...(this.#nodes?.keys() ?? [])])) {
      if (this.#nodes?.get(name)?.live === true) continue;
      const sinceMs = this.#silentSinceMs.get(name) ?? nowMs;
      this.#silentSinceMs.set(name, sinceMs);
      if (nowMs - sinceMs >= this.#giveUpAfterMs) given.add(name);
    }
    return given;
  }

  /** The nodes that are there and ask for nothing else, when there are enough. Rejects with `unavailable` when the signal says so. */
  async confirmed(count: number, signal: AbortSignal): Promise<readonly NodeReport[]> {
    for (;;) {
      const there = [...(this.#nodes?.values() ?? [])]
        .filter(({ confirmed, report }) => confirmed && !report.draining)
        .map(({ report }) => report);
      if (there.length >= count) return there;
      if (signal.aborted || this.#closed) {
        const names = there.map(({ name }) => name).join(', ');
        throw new StateStoreError('unavailable', `${there.length} of ${count} nodes are there: ${names || 'none'}`, {
          hint: 'start more nodes, or ask for fewer replicas',
        });
      }
      await this.pause(signal);
    }
  }

  /** Until something is heard, or a while has passed, or the signal says so. */
  pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        timer.cancel();
        this.#listeners.delete(over);
        signal.removeEventListener('abort', over);
        resolve();
      };
      const timer = this.#clock.after(limits.bucketRetryMs, over);
      this.#listeners.add(over);
      signal.addEventListener('abort', over, { once: true });
      if (signal.aborted || this.#closed) over();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const listener of this.#listeners) listener();
    await this.#watch.close();
  }
}
