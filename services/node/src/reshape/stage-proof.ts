// Whether a replica has staged what it is to absorb: asked of one that does not remember, since it was restarted.
import type { Absorb } from '@statestore/core';
import { binaryFromBytes, hashToBytes, StateStoreError } from '@statestore/core';
import { Turns } from '../copy/turns.ts';
import { systemTime, type Time } from '../time.ts';
import { CopiedKeyspace } from './copied-keyspace.ts';
import { countEntries, type Proof, proveIndex } from './copy-proof.ts';
import type { ReshapeTarget } from './reshape-work.ts';
import { SlotSet } from './slot-set.ts';
import { StageTarget } from './stage-target.ts';

/** Reads what lies there of the slots, all of it. To be asked before it is absorbed. */
export async function isStaged(
  target: ReshapeTarget,
  absorb: Pick<Absorb, 'slots' | 'stores'>,
  signal: AbortSignal,
  time: Time = systemTime,
): Promise<boolean> {
  const staging = new StageTarget(target, absorb.slots);
  const named = absorb.stores.filter(({ entries }) => entries > 0);
  if (!staging.isPrepared) return named.length === 0;
  const turns = new Turns(time);
  const pause = (): Promise<void> | undefined => {
    signal.throwIfAborted();
    return turns.over ? turns.next() : undefined;
  };
  const proof: Proof = { target: staging, slots: new SlotSet(absorb.slots), pause };
  const copies: CopiedKeyspace[] = [];
  for (const store of target.state.stores.values()) {
    const { name, ordinal } = store;
    const wanted = named.find((one) => one.name === name);
    if (wanted !== undefined && wanted.ordinal !== ordinal) return false;
    if (ordinal === 0) continue;
    const copied = new CopiedKeyspace(ordinal, name, store);
    const { tally } = copied;
    if (!(await countEntries(proof, copied, tally))) return false;
    if (tally.entries !== (wanted?.entries ?? 0) || tally.bytes !== (wanted?.bytes ?? 0)) return false;
    if (wanted !== undefined && binaryFromBytes(hashToBytes(tally.hash)) !== wanted.hash) return false;
    copies.push(copied);
  }
  if (!named.every(({ name }) => copies.some(({ store }) => store === name))) return false;
  try {
    await proveIndex(proof, copies);
    return true;
  } catch (error) {
    if (error instanceof StateStoreError && error.code === 'data_corrupt') return false;
    throw error;
  }
}
