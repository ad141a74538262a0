// Commands for every slot of a store, once each: they go to all partitions of one layout and say which one, so that a
// partition whose slots have changed since answers `moved` instead of doing a part of it. What is left then goes to
// those that have it by the next layout.
//
// A merge can bring slots that are done into one partition with slots that are not: those of it are done twice, within
// the one call. The other way, some would be left out.
import { limits, StateStoreError, type CommandBody } from '@statestore/core';
import type { Proposed } from '@statestore/link';
import type { Moves } from './moves.ts';
import type { CommandProposer } from './proposer.ts';
import type { Routing } from './routing.ts';

export interface DoneBy {
  readonly partition: number;
  readonly proposed: Proposed;
}

/** What commands are sent with: a part of the context. */
interface Sending {
  readonly routing: Routing;
  readonly proposer: CommandProposer;
  readonly moves: Moves;
}

/**
 * Verdicts of all partitions that took a part in it. Rejects with `outcome_unknown` where some did and others cannot be
 * asked, with what they say where none did.
 */
export async function onEverySlot(
  { routing, proposer, moves }: Sending,
  body: CommandBody,
): Promise<readonly DoneBy[]> {
  const done: DoneBy[] = [];
  const covered = new Uint8Array(limits.slotCount);
  const patience = moves.begin();
  for (;;) {
    const { layout } = routing;
    const due = layout.partitions.filter((partition) => !isCovered(covered, routing.slotsOf(partition)));
    const slots = due.map((partition) => routing.slotsOf(partition));
    try {
      const verdicts = await proposer.proposeAll(layout, due, () => body);
      for (const [i, proposed] of verdicts.entries()) {
        if (proposed.code === 'moved') continue;
        done.push({ partition: due[i]!, proposed });
        for (const { start, end } of slots[i]!) covered.fill(1, start, end);
      }
      if (verdicts.every(({ code }) => code !== 'moved')) {
        patience.over();
        return done;
      }
      await patience.after(layout.epoch);
    } catch (error) {
      if (done.length === 0 || (error instanceof StateStoreError && error.code === 'outcome_unknown')) throw error;
      throw new StateStoreError('outcome_unknown', `${done.length} partitions carried it out`, {
        cause: error,
        hint: 'The call may be repeated: what was done already stays done.',
        retryAfterMs: limits.gatewayMovedRetryMaxMs,
      });
    }
  }
}

function isCovered(covered: Uint8Array, slots: readonly { readonly start: number; readonly end: number }[]): boolean {
  return slots.every(({ start, end }) => {
    const open = covered.indexOf(0, start);
    return open === -1 || open >= end;
  });
}
