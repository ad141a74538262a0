// Contents of blocks that were read last, for who reads a partition in many small ranges.
import { limits } from '@statestore/core';
import type { BlockReference } from '@statestore/core/gen/statestore/v1/checkpoint_pb';

export class BlockCache {
  readonly #contents = new Map<string, Promise<Uint8Array>>();
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  /** What is known, or what `read` gives. A failure is not remembered. */
  get({ sha256, bytes }: BlockReference, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const name = Buffer.from(sha256).toString('latin1');
    const known = this.#contents.get(name);
    if (known !== undefined) {
      // The order of the map is that of the last use.
      this.#contents.delete(name);
      this.#contents.set(name, known);
      return known;
    }
    const content = read();
    content.catch(() => this.#forget(name));
    this.#contents.set(name, content);
    this.#sizes.set(name, Number(bytes));
    this.#bytes += Number(bytes);
    for (const oldest of this.#contents.keys()) {
      if (this.#bytes <= limits.checkpointCacheBytes || oldest === name) break;
      this.#forget(oldest);
    }
    return content;
  }

  #forget(name: string): void {
    if (!this.#contents.delete(name)) return;
    this.#bytes -= this.#sizes.get(name) ?? 0;
    this.#sizes.delete(name);
  }
}
