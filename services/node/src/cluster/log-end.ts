// Whether a log still has everything that it is known to have had. What the server says of a stream is not
// linearizable: one that lost its place may answer from the past for a while. So a bad answer is believed
// only when it stays the same for some time, and a good one at once.
import { limits } from '@statestore/core';
import type { Time } from '../time.ts';
import type { FoundLog } from './judge-log.ts';
import { pause, unlessAborted } from './pause.ts';

export interface LogEndQuestion {
  /** Undefined: there is no such log. Rejects where nobody could be asked. */
  readonly find: () => Promise<FoundLog | undefined>;
  readonly incarnation: string;
  /** The greatest position that any replica is known to have applied, as it is known then. */
  readonly heard: () => bigint;
  readonly time: Time;
  readonly signal: AbortSignal;
}

export type LogEnd =
  | { readonly kind: 'whole'; readonly found: FoundLog }
  /** It has everything that it is known to have had, and takes nothing more. */
  | { readonly kind: 'sealed'; readonly found: FoundLog }
  /** `found` undefined: it is gone. */
  | { readonly kind: 'regressed'; readonly found: FoundLog | undefined };

/** Rejects with what `find` rejected with last, or with the signal's reason. */
export async function findLogEnd({ find, incarnation, heard, time, signal }: LogEndQuestion): Promise<LogEnd> {
  const beganMs = time.elapsedMs();
  for (;;) {
    // Before it is asked: others go on meanwhile.
    const least = heard();
    const found = await unlessAborted(find(), signal);
    if (found !== undefined && found.incarnation === incarnation && found.last >= least) {
      return { kind: found.sealed === true ? 'sealed' : 'whole', found };
    }
    if (time.elapsedMs() - beganMs >= limits.logRegressedConfirmMs) return { kind: 'regressed', found };
    await pause(time, limits.logRegressedCheckMs, signal);
  }
}
