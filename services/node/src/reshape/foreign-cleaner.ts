// Removes from a running replica what is not its state's: entries of slots that it gave away, or that were staged for a
// merge that was given up. Each node does so for itself, beside the log, and in turns; when nothing may be removed,
// since somebody still reads it or stages it, whoever made the cleaner says.
import type { BinaryString } from '@statestore/core';
import { keyspace, limits, OwnRecords, prefixEnd } from '@statestore/core';
import { CheckpointTurns } from '../checkpoint/checkpoint-turns.ts';
import type { Time, Timer } from '../time.ts';
import type { ReshapeTarget } from './reshape-work.ts';

export interface ForeignCleanerOptions {
  readonly replica: Pick<ReshapeTarget, 'state' | 'reader' | 'stage'>;
  readonly time: Time;
  /** Asked before each part: false while something foreign is still needed, or the replica does not run. */
  readonly mayClean: () => boolean;
  /** The replica's engine cannot be read or written. */
  readonly onFailed?: (error: unknown) => void;
  /** Told of each part, with how many records are removed. */
  readonly onRemoved?: (records: number) => void;
  /** Default: turns of its own. */
  readonly turns?: CheckpointTurns;
  readonly intervalMs?: number;
}

const ranges: readonly { readonly start: BinaryString; readonly end: BinaryString }[] = [
  keyspace.entryPrefix,
  keyspace.expiryPrefix,
].map((prefix) => ({ start: prefix, end: prefixEnd(prefix)! }));

export class ForeignCleaner {
  readonly #options: ForeignCleanerOptions;
  readonly #turns: CheckpointTurns;
  #timer: Timer | undefined;
  #cleaning: Promise<void> | undefined;
  #closed = false;
  /** Of the layout for which nothing foreign is left. Undefined: not known. */
  #cleanFor: string | undefined;

  constructor(options: ForeignCleanerOptions) {
    this.#options = options;
    this.#turns = options.turns ?? new CheckpointTurns(options.time);
  }

  /** Looks every now and then, until it is closed. */
  start(): void {
    if (this.#closed || this.#timer !== undefined) return;
    const { time, intervalMs = limits.foreignLookMs } = this.#options;
    this.#timer = time.after(intervalMs, () => {
      this.#timer = undefined;
      this.#cleaning = this.#cleanAndWait();
    });
  }

  /** Never rejects. */
  async #cleanAndWait(): Promise<void> {
    try {
      await this.clean();
    } catch (error) {
      // A replica that cannot be read or written stops by itself.
      this.#options.onFailed?.(error);
      return;
    } finally {
      this.#cleaning = undefined;
    }
    this.start();
  }

  /** Resolves with whether nothing foreign is left, as far as may be told now. */
  async clean(): Promise<boolean> {
    if (!this.#mayClean()) {
      // What is staged or read now may be given up without a trace in the state.
      this.#cleanFor = undefined;
      return false;
    }
    const layout = this.#layout();
    if (layout === this.#cleanFor) return true;
    const turn = this.#turns.part();
    for (const range of ranges) {
      for (let from: BinaryString | undefined = range.start; from !== undefined;) {
        if (!this.#mayClean() || this.#layout() !== layout) return false;
        const part = this.#cleanPart(from, range.end);
        from = part.next;
        await part.staged;
        await turn();
      }
    }
    this.#cleanFor = layout;
    return true;
  }

  #mayClean(): boolean {
    const { mayClean, replica } = this.#options;
    return !this.#closed && replica.state.slots !== undefined && mayClean();
  }

  #layout(): string {
    const { slotsEpoch, ended } = this.#options.replica.state;
    return `${slotsEpoch} ${ended?.slotsEpoch ?? 0n}`;
  }

  #cleanPart(
    start: BinaryString,
    end: BinaryString,
  ): { readonly next: BinaryString | undefined; readonly staged: void | Promise<void> } {
    const { replica } = this.#options;
    const { state, reader } = replica;
    const own = OwnRecords.of(state, reader)!;
    const foreign = new Map<BinaryString, undefined>();
    let left = limits.reshapeTurnRecords;
    let last: BinaryString | undefined;
    for (const key of reader.keys({ start, end, limit: left })) {
      left--;
      last = key;
      if (own.has(key)) continue;
      foreign.set(key, undefined);
      const expiryKey = expiryKeyOf(key, reader);
      // With its entry: one without the other would be taken for damage by whoever stages there next.
      if (expiryKey !== undefined) foreign.set(expiryKey, undefined);
    }
    if (foreign.size > 0) this.#options.onRemoved?.(foreign.size);
    return {
      next: left > 0 || last === undefined ? undefined : `${last}\0`,
      staged: foreign.size === 0 ? undefined : replica.stage(foreign),
    };
  }

  /** Resolves when nothing is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#cleaning;
  }
}

/** The record of the index by expiry that belongs to this record, where that is an entry that expires. */
function expiryKeyOf(key: BinaryString, reader: ReshapeTarget['reader']): BinaryString | undefined {
  if (!key.startsWith(keyspace.entryPrefix)) return undefined;
  const value = reader.get(key);
  const expiresAtMs = value === undefined ? 0 : keyspace.entryExpiry(value);
  if (expiresAtMs === 0) return undefined;
  return keyspace.expiryKey(expiresAtMs, keyspace.uint32At(key, 1), key.slice(keyspace.entryKeyPrefixLength));
}
