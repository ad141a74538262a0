// Long work on the thread that answers, cut into pieces between which others run. When that is due, the caller's
// `turn` says.
import type { BinaryString } from '@statestore/core';
import { limits } from '@statestore/core';
import type { StateRecord } from './records.ts';

/** To be called every now and then: a promise where others are to run first. */
export type Turn = () => Promise<void> | undefined;

/** The parts in smaller ones: whoever takes them works on each without a pause. */
export async function* smallParts(
  parts: AsyncIterable<readonly StateRecord[]>,
  { turn, signal }: { readonly turn?: Turn | undefined; readonly signal: AbortSignal },
): AsyncGenerator<readonly StateRecord[], void> {
  const size = limits.copyPartRecords;
  for await (const part of parts)
    for (let at = 0; at < part.length; at += size) {
      yield part.length <= size ? part : part.slice(at, at + size);
      const pause = turn?.();
      if (pause === undefined) continue;
      await pause;
      signal.throwIfAborted();
    }
}

const runKeys = 512;

/** Ascending: runs that are sorted at once, then merged two by two. */
export async function sortInTurns(keys: Iterable<BinaryString>, turn: Turn): Promise<readonly BinaryString[]> {
  let runs: BinaryString[][] = [];
  let run: BinaryString[] = [];
  const close = async (): Promise<void> => {
    runs.push(run.sort());
    run = [];
    await turn();
  };
  for (const key of keys) if (run.push(key) === runKeys) await close();
  await close();
  while (runs.length > 1) {
    const merged: BinaryString[][] = [];
    for (let at = 0; at < runs.length; at += 2) merged.push(await mergeInTurns(runs[at]!, runs[at + 1] ?? [], turn));
    runs = merged;
  }
  return runs[0]!;
}

async function mergeInTurns(
  one: readonly BinaryString[],
  other: readonly BinaryString[],
  turn: Turn,
): Promise<BinaryString[]> {
  const merged: BinaryString[] = [];
  let at = 0;
  let otherAt = 0;
  while (at < one.length || otherAt < other.length) {
    const takeOne = otherAt >= other.length || (at < one.length && one[at]! < other[otherAt]!);
    if (merged.push(takeOne ? one[at++]! : other[otherAt++]!) % runKeys === 0) await turn();
  }
  return merged;
}
