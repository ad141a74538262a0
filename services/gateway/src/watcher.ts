// One watch: the changes of all partitions as server-sent events on one response. Each partition is
// followed by its own loop; an event carries the places of all of them, so that a client can go on from
// any event it saw. A loop waits while the client's buffer is full, so a slow client holds no memory
// beyond the bound; one that stands still for too long is cut off and resumes by its cursor.
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits, StateStoreError, type BinaryString } from '@statestore/core';
import type { Change, ChangeBatch, Place } from '@statestore/link';
import type { GatewayContext } from './context.ts';
import { etagOf } from './conditions.ts';
import { asStateStoreError, problemOf } from './http-errors.ts';
import { keyText } from './names.ts';
import { drained } from './streaming.ts';
import { formatTime } from './ttl.ts';
import { quote, valueToJson } from './value-json.ts';
import { signPlaces, type WatchPlace } from './watch-cursor.ts';

export interface Watch {
  readonly store: string;
  readonly prefix: BinaryString;
  readonly values: boolean;
  readonly scope: readonly string[];
  /** Of every partition. Moved on as events are written. */
  readonly places: Map<number, WatchPlace>;
}

export class Watcher {
  readonly #context: GatewayContext;
  readonly #response: ServerResponse;
  readonly #watch: Watch;
  readonly #signal: AbortSignal;
  readonly #stop: () => void;
  #lastWrite = performance.now();
  #beat: NodeJS.Timeout | undefined;

  /** `stop` must abort the signal. */
  constructor(context: GatewayContext, response: ServerResponse, watch: Watch, signal: AbortSignal, stop: () => void) {
    this.#context = context;
    this.#response = response;
    this.#watch = watch;
    this.#signal = signal;
    this.#stop = stop;
  }

  /** Runs until the client goes, the gateway closes, or something fails. Never rejects. */
  async run(): Promise<void> {
    const { heartbeatMs } = this.#context.timeouts;
    this.#write(`event: ready\nid: ${this.#cursor()}\ndata: {}\n\n`);
    this.#beat = setInterval(() => this.#heartbeat(), heartbeatMs);
    let failure: StateStoreError | undefined;
    const loops = [...this.#watch.places.keys()].map(async (partition) => {
      try {
        await this.#follow(partition);
      } catch (error) {
        if (!this.#signal.aborted) failure ??= asStateStoreError(error);
      } finally {
        // One partition that ends, ends the watch: going on without it would lose its changes.
        this.#stop();
      }
    });
    await Promise.all(loops);
    clearInterval(this.#beat);
    this.#end(failure);
  }

  async #follow(partition: number): Promise<void> {
    const { store, prefix, places } = this.#watch;
    const { position: from, generation, seen } = places.get(partition)!;
    const node = this.#context.routing.nodeOf(partition);
    let skip = seen;
    for await (const batch of node.watch(partition, { store, prefix, from, generation, signal: this.#signal })) {
      // Of another log, the same position may be another batch.
      const isSame = this.#context.routing.isShared(partition, batch, generation);
      if (isSame && batch.position < from) continue;
      await this.#emit(partition, batch, isSame && batch.position === from ? skip : 0);
      skip = 0;
      places.set(partition, { position: batch.position + 1n, generation: batch.generation, seen: 0 });
      if (this.#signal.aborted) return;
    }
  }

  async #emit(partition: number, batch: ChangeBatch, skip: number): Promise<void> {
    const { position, generation, timeMs, changes } = batch;
    const time = formatTime(timeMs);
    for (let i = skip; i < changes.length; i++) {
      const change = changes[i]!;
      const value = this.#watch.values && change.kind === 'put' ? await this.#valueOf(partition, batch, change) : '';
      await this.#room();
      // The last one of a position leads to the next position, so that the cursor does not depend on it.
      const last = i + 1 === changes.length;
      this.#watch.places.set(
        partition,
        last ? { position: position + 1n, generation, seen: 0 } : { position, generation, seen: i + 1 },
      );
      const key = change.kind === 'clear' ? '' : `"key":${quote(keyText(change.key))},`;
      const data = `{${key}"etag":${JSON.stringify(etagOf(change.revision))},"time":"${time}"${value}}`;
      this.#write(`event: ${change.kind}\nid: ${this.#cursor()}\ndata: ${data}\n\n`);
    }
  }

  /** The value, where it is still the one that this change wrote. */
  async #valueOf(
    partition: number,
    { position: atLeast, generation }: Place,
    { store, key, revision }: Change,
  ): Promise<string> {
    const options = { consistency: 'session', atLeast, generation } as const;
    const { entry } = await this.#context.routing.nodeOf(partition).get(partition, store, key, options);
    if (entry === undefined || entry.revision !== revision) return '';
    const { value, encoding } = valueToJson(entry.value);
    const type = entry.contentType === '' ? '' : `,"contentType":${quote(entry.contentType)}`;
    return `,"value":${quote(value)},"encoding":"${encoding}"${type}`;
  }

  /** Waits for the client to read where too much is on its way. Throws `overloaded` where it does not. */
  async #room(): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#response.writableLength < limits.watcherBufferBytesMax) return;
    const { watcherStallMs } = this.#context.timeouts;
    const waited = new AbortController();
    const signal = AbortSignal.any([this.#signal, waited.signal]);
    try {
      const outcome = await Promise.race([
        drained(this.#response, signal).then(() => 'room' as const),
        sleep(watcherStallMs, 'stalled' as const, { signal, ref: false }),
      ]);
      if (outcome === 'room') return;
    } finally {
      waited.abort();
    }
    throw new StateStoreError('overloaded', `nothing was read for ${watcherStallMs} ms; go on from the last event`);
  }

  #write(text: string): void {
    this.#lastWrite = performance.now();
    this.#response.write(text);
  }

  /** An id without data moves the client's cursor on and is no event (HTML standard, 9.2.6). */
  #heartbeat(): void {
    if (
      performance.now() - this.#lastWrite < this.#context.timeouts.heartbeatMs / 2 ||
      this.#response.writableNeedDrain
    )
      return;
    this.#write(`: still here\nid: ${this.#cursor()}\n\n`);
  }

  #cursor(): string {
    return signPlaces(this.#context.cursors, this.#watch.scope, this.#watch.places);
  }

  #end(failure: StateStoreError | undefined): void {
    const response = this.#response;
    if (response.destroyed) return;
    if (failure !== undefined) response.write(`event: error\ndata: ${problemOf(failure).body}\n\n`);
    response.end();
    // A client that does not read would keep its socket for ever.
    const late = setTimeout(() => response.destroy(), this.#context.timeouts.watcherStallMs);
    response.once('close', () => clearTimeout(late));
  }
}
