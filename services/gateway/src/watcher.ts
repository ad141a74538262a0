// One watch: the changes of all partitions as server-sent events on one response. Each partition is
// followed by its own loop (loops come and go as partitions split and merge; in which order, watch-course.ts says); an
// event carries the places of all of them, so that a client can go on from any event it saw. A loop waits while the client's buffer is full, so a slow client holds no memory
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
import { isAfter, type WatchCourse } from './watch-course.ts';
import { signPlaces, type WatchPlace } from './watch-cursor.ts';

export interface Watch {
  readonly store: string;
  readonly prefix: BinaryString;
  readonly values: boolean;
  readonly scope: readonly string[];
  /** Its places are moved on as events are written. */
  readonly course: WatchCourse;
}

export class Watcher {
  readonly #context: GatewayContext;
  readonly #response: ServerResponse;
  readonly #watch: Watch;
  readonly #signal: AbortSignal;
  readonly #stop: () => void;
  #lastWrite = performance.now();
  #beat: NodeJS.Timeout | undefined;
  /** What ends the loop of a partition. */
  readonly #loops = new Map<number, AbortController>();
  readonly #working = new Set<Promise<void>>();
  /** Loops that wait for others, or for a newer topology. */
  readonly #waiting = new Set<() => void>();
  #failure: StateStoreError | undefined;

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
    const { routing } = this.#context;
    const ignore = routing.onUpdate(() => this.#replan());
    this.#replan();
    // A loop may begin others.
    while (this.#working.size > 0) await Promise.all(this.#working);
    ignore();
    clearInterval(this.#beat);
    this.#end(this.#failure);
  }

  /** By the present topology: follows what is new, leaves what is done with. */
  #replan(): void {
    if (this.#signal.aborted) return;
    const { course } = this.#watch;
    const { topology, layoutEpoch } = this.#context.routing;
    try {
      course.take(topology, layoutEpoch !== undefined);
    } catch (error) {
      return this.#fail(error);
    }
    for (const [partition, loop] of this.#loops) if (!course.places.has(partition)) loop.abort();
    for (const partition of course.places.keys()) if (!this.#loops.has(partition)) this.#begin(partition);
    this.#wake();
  }

  /** One partition that ends before its time ends the watch: going on without it would lose its changes. */
  #fail(error: unknown): void {
    if (!this.#signal.aborted) this.#failure ??= asStateStoreError(error);
    this.#stop();
  }

  #begin(partition: number): void {
    const loop = new AbortController();
    this.#loops.set(partition, loop);
    const signal = AbortSignal.any([this.#signal, loop.signal]);
    const ended = (error?: unknown): void => {
      this.#loops.delete(partition);
      this.#working.delete(work);
      if (!loop.signal.aborted) this.#fail(error ?? new StateStoreError('unavailable', `partition ${partition} ended`));
    };
    const work: Promise<void> = this.#follow(partition, signal).then(ended, ended);
    this.#working.add(work);
  }

  async #follow(partition: number, signal: AbortSignal): Promise<void> {
    const { store, prefix, course } = this.#watch;
    const { places } = course;
    while (!course.mayFollow(partition)) await this.#change(signal);
    const { position: from, generation, seen } = places.get(partition)!;
    const node = this.#context.routing.nodeOf(partition);
    let skip = seen;
    for await (const batch of node.watch(partition, { store, prefix, from, generation, signal })) {
      // Of another log, the same position may be another batch.
      const isSame = this.#context.routing.isShared(partition, batch, generation);
      if (isSame && batch.position < from) continue;
      await this.#allowed(partition, batch, signal);
      await this.#emit(partition, batch, isSame && batch.position === from ? skip : 0);
      skip = 0;
      this.#reached(partition, { position: batch.position + 1n, generation: batch.generation, seen: 0 });
      if (signal.aborted) return;
    }
  }

  /** Everything of the partition before it was told. */
  #reached(partition: number, place: WatchPlace): void {
    const { course } = this.#watch;
    course.places.set(partition, place);
    if (course.isDone(partition)) {
      course.places.delete(partition);
      this.#loops.get(partition)?.abort();
    }
    this.#wake();
  }

  /** Waits where the batch may be of after a merge whose other partition was not followed to its end yet. */
  async #allowed(
    partition: number,
    { position, generation = 1, slotsEpoch = 0n }: ChangeBatch,
    signal: AbortSignal,
  ): Promise<void> {
    const { course } = this.#watch;
    const { routing } = this.#context;
    for (;;) {
      if (slotsEpoch > course.slotsEpochOf(partition)) {
        // Slots came or went, and this gateway does not know yet which and when.
        routing.refresh();
        await this.#change(signal, limits.gatewayTopologyRefreshMs);
        continue;
      }
      const hold = course.holdOf(partition);
      if (hold === undefined || !isAfter({ generation, position }, hold)) return;
      // There is nothing between what was told and the batch: others may wait for that.
      const told = course.places.get(partition)!;
      const place = { position: hold.position + 1n, generation: hold.generation };
      if (isAfter(place, { position: told.position, generation: told.generation ?? 1 })) {
        this.#reached(partition, { ...place, seen: 0 });
      }
      await this.#change(signal);
    }
  }

  /** Resolves when something happened that loops may wait for. Rejects when the loop is to end. */
  async #change(signal: AbortSignal, ms?: number): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal.reason);
    const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
    this.#waiting.add(resolve);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', abort);
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
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
      this.#watch.course.places.set(
        partition,
        last ? { position: position + 1n, generation, seen: 0 } : { position, generation, seen: i + 1 },
      );
      const key = change.kind === 'clear' ? '' : `"key":${quote(keyText(change.key))},`;
      const data = `{${key}"etag":${JSON.stringify(etagOf(change.revision))},"time":"${time}"${value}}`;
      this.#write(`event: ${change.kind}\nid: ${this.#cursor()}\ndata: ${data}\n\n`);
    }
  }

  /** The value, where it is still the one that this change wrote: whoever has its slot by now. */
  async #valueOf(
    partition: number,
    { position: atLeast, generation }: Place,
    { store, key, revision }: Change,
  ): Promise<string> {
    const { routing, moves } = this.#context;
    const { entry } = await moves.through((layout) => {
      const owner = routing.partitionOf(store, key);
      const slotsEpoch = layout.slotsEpochOf(owner);
      const session = { consistency: 'session' } as const;
      const here = owner === partition ? { ...session, atLeast, generation } : session;
      return routing.nodeOf(owner).get(owner, store, key, slotsEpoch === undefined ? here : { ...here, slotsEpoch });
    });
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
    const { scope, course } = this.#watch;
    return signPlaces(this.#context.cursors, scope, course.places, course.epoch);
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
