// A replica looks at itself: everything that apply keeps incrementally is recomputed from the stored
// records, in turns, so that the others of the node go on.
import { loadState } from '@statestore/core';
import { Turns } from '../copy/turns.ts';
import { verifyInTurns } from '../copy/verify-in-turns.ts';
import type { Engine } from '../engine/engine.ts';
import type { Time } from '../time.ts';

/** What does not follow from the records, in words; nothing where all is well. Throws the signal's reason. */
export async function verifyReplica(engine: Engine, time: Time, signal: AbortSignal): Promise<readonly string[]> {
  const snapshot = engine.snapshot();
  try {
    return await verifyInTurns(loadState(snapshot), snapshot, new Turns(time), signal);
  } finally {
    snapshot.close();
  }
}
