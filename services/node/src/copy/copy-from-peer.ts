// The taking side of a copied state: its parts go into an engine as they come, all or nothing, and the
// whole proves itself (state hash, counters, indexes) before it comes in force. A copy that broke off, is
// wrong, or was cut short by a crash leaves the engine as it was, so that nothing can be taken for a
// replica that is none. Where the parts come from, and what to do after a failure, is the caller's.
import type { BinaryString } from '@statestore/core';
import {
  binaryFromBytes,
  hashToHex,
  incarnationKey,
  loadState,
  type PartitionState,
  StateStoreError,
} from '@statestore/core';
import type { StatePart } from '@statestore/link';
import type { Engine, EngineEntry, EngineReader } from '../engine/engine.ts';
import { systemTime, type Time } from '../time.ts';
import { abortable } from './abortable.ts';
import { Turns } from './turns.ts';
import { verifyInTurns } from './verify-in-turns.ts';

export interface CopyOptions {
  readonly source: AsyncIterable<StatePart>;
  /** Its content is replaced. Nobody else may use it meanwhile. */
  readonly engine: Pick<Engine, 'restore'>;
  /** What the copy must be to be of use; another one is refused. */
  readonly expect?: CopyExpectation;
  readonly signal: AbortSignal;
  readonly time?: Time;
  /** After each part. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface CopyExpectation {
  /** It is of this position, or of a later one. */
  readonly positionMin?: bigint;
  /** UUID of the log that the state was made from. */
  readonly incarnation?: string;
}

export interface CopyProgress {
  readonly records: number;
  /** Of keys and values. */
  readonly bytes: number;
}

export interface CopiedState extends CopyProgress {
  readonly position: bigint;
  /** 32 hexadecimal digits each. */
  readonly chain: string;
  readonly stateHash: string;
}

/**
 * Resolves when the engine holds the copied state, durably where it is durable. Rejects with what the
 * source threw (retryable where a new copy may succeed), with `data_corrupt` where the copy is wrong,
 * `data_format` where it is of a newer layout, `unavailable` where it is older than expected, `disk_full`
 * where there is no room, with the signal's reason where it aborts: the engine is then as it was before.
 */
export async function copyFromPeer(options: CopyOptions): Promise<CopiedState> {
  const { source, engine, signal, time = systemTime } = options;
  const turns = new Turns(time);
  const intake = new Intake(abortable(source, signal), options, turns);
  try {
    const position = await intake.begin();
    let state: PartitionState | undefined;
    await engine.restore(intake.entries(), position, async (content) => {
      state = await verified(content, position, options, turns);
    });
    const { records, bytes } = intake;
    const { chain, stateHash } = state!;
    return { position, records, bytes, chain: hashToHex(chain), stateHash: hashToHex(stateHash) };
  } finally {
    await intake.end();
  }
}

/** The parts as one sequence of entries, checked for what a sequence of parts must be. */
class Intake {
  records = 0;
  bytes = 0;
  readonly #parts: AsyncIterator<StatePart>;
  readonly #options: CopyOptions;
  readonly #turns: Turns;
  #first: StatePart | undefined;

  constructor(parts: AsyncIterator<StatePart>, options: CopyOptions, turns: Turns) {
    this.#parts = parts;
    this.#options = options;
    this.#turns = turns;
  }

  /** Waits for the first part: it tells the position. */
  async begin(): Promise<bigint> {
    this.#first = await this.#next();
    const { position } = this.#first;
    const { positionMin } = this.#options.expect ?? {};
    if (positionMin === undefined || position >= positionMin) return position;
    const message = `the copy is of position ${position}; it must be of ${positionMin} or later`;
    throw new StateStoreError('unavailable', message, { retryAfterMs: 1000 });
  }

  /** Once, after `begin`. */
  async *entries(): AsyncGenerator<EngineEntry, void> {
    const { position } = this.#first!;
    let last: BinaryString | undefined;
    for (let part = this.#first!; ; part = await this.#next()) {
      if (part.position !== position)
        throw wrong(`it began at position ${position}, and a part of it is of position ${part.position}`);
      for (const record of part.records) {
        if (last !== undefined && record.key <= last) throw wrong('its keys do not ascend');
        last = record.key;
        this.records++;
        this.bytes += record.key.length + record.value.length;
        yield record;
      }
      this.#options.onProgress?.({ records: this.records, bytes: this.bytes });
      // Parts that wait already would be taken one after the other, with nobody served in between.
      await this.#turns.next();
      if (part.total === undefined) continue;
      if (part.total !== this.records) throw wrong(`it has ${this.records} records and says ${part.total}`);
      if ((await this.#parts.next()).done !== true) throw wrong('a part follows its last one');
      return;
    }
  }

  async #next(): Promise<StatePart> {
    const step = await this.#parts.next();
    if (step.done !== true) return step.value;
    throw wrong(`it ended after ${this.records} records, without its last part`);
  }

  /** Lets go of the source. */
  async end(): Promise<void> {
    await this.#parts.return?.();
  }
}

/** Throws where the content is not a state that follows from its own records. */
async function verified(
  content: EngineReader,
  position: bigint,
  { expect = {}, signal }: CopyOptions,
  turns: Turns,
): Promise<PartitionState> {
  const state = loadState(content);
  if (state.position !== position) throw wrong(`it says position ${position}, its head ${state.position}`);
  const incarnation = incarnationOf(content);
  if (expect.incarnation !== undefined && incarnation !== expect.incarnation)
    throw wrong(`it was made from the log ${incarnation ?? 'of nobody'}, not from ${expect.incarnation}`);
  const differences = await verifyInTurns(state, content, turns, signal);
  if (differences.length === 0) return state;
  throw wrong(`${differences[0]} (${differences.length} such differences)`);
}

function incarnationOf(content: EngineReader): string | undefined {
  const kept = content.get(incarnationKey);
  return kept && binaryFromBytes(kept);
}

function wrong(what: string): StateStoreError {
  return new StateStoreError('data_corrupt', `the copy from a peer is wrong: ${what}`, {
    hint: 'copy again, from another peer where there is one',
  });
}
