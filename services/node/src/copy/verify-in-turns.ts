// The proof of a state from its own records, in turns: it takes as long as a full scan, and others go on meanwhile.
import { type PartitionState, verifySteps } from '@statestore/core';
import type { EngineReader } from '../engine/engine.ts';
import type { Turns } from './turns.ts';

/**
 * What does not follow from the records, in words; nothing where all is well. State and reader must stay as
 * they are until it ends. Throws the signal's reason.
 */
export async function verifyInTurns(
  state: PartitionState,
  reader: EngineReader,
  turns: Turns,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const steps = verifySteps(state, reader);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (!turns.over) continue;
    await turns.next();
    if (!signal.aborted) continue;
    steps.return([]);
    signal.throwIfAborted();
  }
}
