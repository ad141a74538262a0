// What becomes of data that a copy takes the place of. Pure. They go only where nothing of them can be missed: they are
// an earlier part of the very history that the copy is of. Everything else is kept until a person removes it: it may be
// all that is left of something that was acknowledged. That their state is wrong says nothing of their history.
import type { ChainAt } from '../chain-notes.ts';
import type { HeldState } from './judge-log.ts';
import type { Condemned } from './replica-folder.ts';

/** What takes their place. */
export interface Replacement {
  readonly position: bigint;
  readonly chain: string;
  readonly chainAt: ChainAt;
  /** UUID of the log that it follows. */
  readonly incarnation: string;
}

export interface Replaced extends HeldState {
  /** What was found of them before. */
  readonly condemned: Condemned | undefined;
  /** Whether they were all that the replica had: saved from memory now and then, they are old anyway. */
  readonly durable: boolean;
}

/** Why they are kept; undefined: they may go. */
export function whyKept({ condemned, durable, ...held }: Replaced, by: Replacement): string | undefined {
  if (condemned?.kept === true) return condemned.why;
  const { position, chain, incarnation } = held;
  if (position === 0n) return undefined;
  const of = `these data are of log ${incarnation ?? 'of nobody'} at ${position}`;
  if (position > by.position) return `${of}, ahead of ${by.position}, where they were replaced`;
  const there = position === by.position ? by.chain : by.chainAt(position);
  if (there === chain) return undefined;
  if (there !== undefined) return `${of} with chain ${chain}; the history that replaced them has ${there} there`;
  // Behind the beginning of the very log that it followed: nobody ever found that the log lost anything.
  if (!durable && incarnation === by.incarnation) return undefined;
  return `${of} with chain ${chain}; what replaced them, at ${by.position}, does not tell of a position so long ago`;
}
