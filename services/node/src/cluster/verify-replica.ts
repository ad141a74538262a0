// A replica looks at itself: everything that apply keeps incrementally is recomputed from the stored
// records, in turns, so that the others of the node go on.
import { loadState, verifySteps } from '@statestore/core';
import { Turns } from '../copy/turns.ts';
import type { Engine } from '../engine/engine.ts';
import type { Time } from '../time.ts';

/** What does not follow from the records, in words; nothing where all is well. Throws the signal's reason. */
export async function verifyReplica(engine: Engine, time: Time, signal: AbortSignal): Promise<readonly string[]> {
  const snapshot = engine.snapshot();
  try {
    const turns = new Turns(time);
    const steps = verifySteps(loadState(snapshot), snapshot);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (!turns.over) continue;
      await turns.next();
      if (!signal.aborted) continue;
      steps.return([]);
      signal.throwIfAborted();
    }
  } finally {
    snapshot.close();
  }
}
