// What a batch did to keys, as watchers see it.
import type { BinaryString } from './binary-string.ts';

/** In the order of their numbers on the wire (state.proto, ChangeKind): append only. */
export const changeKinds = ['put', 'delete', 'expire', 'clear'] as const;
export type ChangeKind = (typeof changeKinds)[number];

export interface Change {
  readonly kind: ChangeKind;
  readonly revision: bigint;
  readonly store: string;
  /** Empty for `clear`, which is of the whole store. */
  readonly key: BinaryString;
}

/** The changes of one position. */
export interface ChangeRecord {
  readonly changes: readonly Change[];
  readonly clockNanos: bigint;
}
