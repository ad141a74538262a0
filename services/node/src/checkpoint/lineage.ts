// One partition on its way through the archive: batch by batch, exactly as replicas apply those of their log. So what comes
// of it is the state that they had there, byte for byte, and its chain and hash say so. Where slots are given or taken, other
// partitions have to do with it: what is done then is told by its hooks (restore-world.ts).
import type { ArchivedPart, ListedSegment, PathStep, Repository } from '@statestore/checkpoint';
import { readArchive } from '@statestore/checkpoint';
import type { Absorb, BatchRecord, CommandBody, HandOver, PartitionState, SlotRange } from '@statestore/core';
import {
  applyBatch,
  bytesFromBinary,
  decodeBatch,
  hashToHex,
  incarnationKey,
  limits,
  loadState,
  slotRanges,
} from '@statestore/core';
import { noteOfChain } from '../chain-notes.ts';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import { WriteBuffer } from '../engine/write-buffer.ts';
import { noteOfRecord } from '../last-record.ts';
import type { Time } from '../time.ts';
import type { ChildPlan } from './restore-splits.ts';

export interface LineageOptions {
  readonly repository: Pick<Repository, 'get'>;
  readonly partition: number;
  readonly generation: number;
  /** Where its state does not say. */
  readonly slots: readonly SlotRange[];
  /** Holds the state that the way begins with. Nobody else may use it meanwhile. */
  readonly engine: Engine;
  readonly path: readonly PathStep[];
  readonly segments: ReadonlyMap<string, readonly ListedSegment[]>;
  readonly through: bigint | undefined;
  /** Stops before the first batch that was stored later than this, ns since 1970; undefined: at the end. */
  readonly nanos: bigint | undefined;
  readonly children: readonly ChildPlan[];
  readonly hooks: LineageHooks;
  readonly signal: AbortSignal;
  readonly time: Time;
  readonly onProgress: (position: bigint) => void;
}

export interface LineageHooks {
  /** It is about to hand slots over. Resolves to what is to be undone where that is refused; in words: why it cannot go on. */
  split(lineage: Lineage, child: ChildPlan | undefined, handOver: HandOver): Promise<(() => Promise<void>) | string>;
}

/** How it came to stand still. */
export type Stand =
  /** What was asked for is so. */
  | 'there'
  /** The moment is reached, or the archive ends. */
  | 'over'
  /** All of its slots are about to be another one's. */
  | 'given'
  /** Slots of another one are about to be its own (`awaits`): their entries have to be staged first. */
  | 'waiting'
  /** See `why`. */
  | 'stuck';

export interface AdvanceOptions {
  readonly until?: (state: PartitionState) => boolean;
  /** Also past the moment: another partition has what came of it. */
  readonly isForced?: boolean;
}

const noParts: AsyncIterator<ArchivedPart> = { next: async () => ({ done: true, value: undefined }) };
/** What an absorb begins with in a command: one that has not got these bytes has none. */
const absorbTag = Buffer.from([0xaa, 0x01]);

export class Lineage {
  readonly options: LineageOptions;
  readonly buffer: WriteBuffer;
  readonly state: PartitionState;
  /** Whether it stopped at a batch of a later time, and not where the archive ends. */
  isStopped = false;
  batches = 0;
  why: string | undefined;
  awaits: Absorb | undefined;
  #staged = '';
  readonly #turns: Turns;
  #parts: AsyncIterator<ArchivedPart> = noParts;
  #part: ArchivedPart = { incarnation: '', batches: [] };
  #at = 0;
  #isLimited: boolean;
  #incarnation: string | undefined;

  constructor(options: LineageOptions) {
    this.options = options;
    this.buffer = new WriteBuffer(options.engine);
    this.state = loadState(this.buffer);
    this.#turns = new Turns(options.time);
    this.#isLimited = true;
    this.#begin();
  }

  get slots(): readonly SlotRange[] {
    return this.state.slots ?? this.options.slots;
  }

  async advance({ until = () => false, isForced = false }: AdvanceOptions = {}): Promise<Stand> {
    const { signal } = this.options;
    for (;;) {
      if (until(this.state)) return 'there';
      const next = await this.#peek(isForced);
      if (next === undefined || this.#isBeyond(next, isForced)) return 'over';
      const stand = await this.#take(next);
      if (stand !== undefined) return stand;
      if (this.buffer.bytes >= limits.replayCommitBytes) await this.buffer.flush();
      if (++this.batches % limits.replayTurnBatches !== 0 || !this.#turns.over) continue;
      await this.#turns.next();
      signal.throwIfAborted();
    }
  }

  /** What it waits for is staged. */
  staged(): void {
    this.#staged = this.awaits!.reshape;
    this.awaits = undefined;
  }

  async close(): Promise<void> {
    await this.#parts.return?.();
    this.#parts = noParts;
  }

  #begin(): void {
    const { repository, partition, path, segments, through, signal } = this.options;
    const { position, chain } = this.state;
    this.#parts = readArchive({
      repository,
      path,
      segments,
      signal,
      expected: { partition },
      through: this.#isLimited ? through : undefined,
      after: {
        position,
        chain: hashToHex(chain),
      },
    });
  }

  async #peek(isForced: boolean): Promise<BatchRecord | undefined> {
    for (;;) {
      const next = this.#part.batches[this.#at];
      if (next !== undefined) return next;
      const step = await this.#parts.next();
      if (step.done !== true) {
        this.#part = step.value;
        this.#at = 0;
        this.options.onProgress(this.state.position);
      } else if (isForced && this.#isLimited && this.options.through !== undefined) {
        this.#isLimited = false;
        this.#begin();
      } else return undefined;
    }
  }

  #isBeyond({ timestampNanos, position }: BatchRecord, isForced: boolean): boolean {
    const { nanos, through } = this.options;
    if (isForced) return false;
    if (nanos !== undefined && timestampNanos > nanos) return (this.isStopped = true);
    return through !== undefined && position > through;
  }

  /** Undefined: it was applied. */
  async #take(record: BatchRecord): Promise<Stand | undefined> {
    const { hooks, children } = this.options;
    const { fenced } = this.state;
    let undo: (() => Promise<void>) | undefined;
    let reshape = '';
    const handOver = fenced === undefined ? undefined : commandsOf(record).find(isHandOver);
    if (fenced !== undefined && handOver?.reshape === fenced.reshape && handOver.fencedPosition === fenced.position) {
      if (slotRanges.without(this.slots, fenced.slots).length === 0) return 'given';
      const child = children.find(({ position }) => position === fenced.position);
      const outcome = await hooks.split(this, child, handOver);
      if (typeof outcome === 'string') return this.#stuck(outcome);
      undo = outcome;
      ({ reshape } = handOver);
    }
    if (Buffer.from(record.bytes.buffer, record.bytes.byteOffset, record.bytes.length).includes(absorbTag)) {
      for (const body of commandsOf(record)) {
        if (body.kind !== 'absorb' || this.#isPast(body)) continue;
        if (body.reshape === this.#staged) continue;
        this.awaits = body;
        return 'waiting';
      }
    }
    this.#apply(record);
    if (undo !== undefined && this.state.ended?.reshape !== reshape) await undo();
    return undefined;
  }

  #stuck(why: string): 'stuck' {
    this.why = why;
    return 'stuck';
  }

  /** Whether it was done before, or never will be. */
  #isPast({ slotsEpoch, slots }: Absorb): boolean {
    const { ended } = this.state;
    return (ended !== undefined && slotsEpoch <= ended.slotsEpoch) || slotRanges.meet(this.slots, slots);
  }

  #apply(record: BatchRecord): void {
    const { position } = record;
    const { writes } = applyBatch(this.state, this.buffer, record);
    this.#at++;
    this.buffer.put(writes, position);
    // As the replicas of a cluster do: it can be shown of which history this is a part.
    this.buffer.put(noteOfRecord(record), position);
    this.buffer.put(noteOfChain(this.state), position);
    const { incarnation } = this.#part;
    if (this.#incarnation === incarnation) return;
    this.#incarnation = incarnation;
    this.buffer.put(new Map([[incarnationKey, bytesFromBinary(incarnation)]]), position);
  }
}

function commandsOf({ bytes }: BatchRecord): readonly CommandBody[] {
  return decodeBatch(bytes).commands.map(({ body }) => body);
}

function isHandOver(body: CommandBody): body is HandOver {
  return body.kind === 'handOver';
}
