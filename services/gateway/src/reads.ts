// Reads of one key, from whoever has its slot: where that changes meanwhile, the read goes after it.
import type { BinaryString } from '@statestore/core';
import type { Found, MaybePromise } from '@statestore/link';
import type { ClientSession } from './client-session.ts';
import { isMoved, type Moves } from './moves.ts';
import type { Routing } from './routing.ts';

/** What is read of: a part of the context. */
interface Reading {
  readonly routing: Routing;
  readonly moves: Moves;
}

/** At once where the node answers at once: the hot path has no promise then. */
export function readKey(
  context: Reading,
  store: string,
  key: BinaryString,
  session: ClientSession,
): MaybePromise<Found> {
  const { epoch } = context.routing.topology;
  let found: MaybePromise<Found>;
  try {
    found = readOnce(context, store, key, session);
  } catch (error) {
    return readAgain(context, store, key, session, epoch, error);
  }
  if (!(found instanceof Promise)) return found;
  return found.catch((error: unknown) => readAgain(context, store, key, session, epoch, error));
}

function readOnce({ routing }: Reading, store: string, key: BinaryString, session: ClientSession): MaybePromise<Found> {
  const partition = routing.partitionOf(store, key);
  const options = session.reading(partition, routing.layout.slotsEpochOf(partition));
  const found = routing.nodeOf(partition).get(partition, store, key, options);
  if (found instanceof Promise) {
    return found.then((read) => {
      session.saw(partition, read);
      return read;
    });
  }
  session.saw(partition, found);
  return found;
}

/* oxlint-disable-next-line max-params -- the part of readKey above that hardly ever runs */
async function readAgain(
  context: Reading,
  store: string,
  key: BinaryString,
  session: ClientSession,
  epoch: bigint,
  error: unknown,
): Promise<Found> {
  if (!isMoved(error)) throw error;
  const patience = context.moves.begin();
  await patience.after(epoch, error);
  return context.moves.through(() => readOnce(context, store, key, session), patience);
}
