// What replicas of a partition tell each other directly, over core NATS: where they are and what their hashes
// are there. Nothing of it is stored and any of it may get lost: the next word comes soon. What follows from
// a difference is the node's business.
import type { NatsConnection } from '@nats-io/nats-core';
import { isConnected } from './connection.ts';
import { proofSubject } from './names.ts';
import { tell } from './tell.ts';

/** A replica's hashes at a position that it has applied. */
export interface Proof {
  readonly kind: 'proof';
  readonly node: string;
  readonly incarnation: string;
  readonly position: bigint;
  /** 32 hexadecimal digits each. */
  readonly chain: string;
  readonly stateHash: string;
}

/** What a replica found that recomputed its hashes, since they differ from another's at this position. */
export interface Verdict {
  readonly kind: 'verdict';
  readonly node: string;
  readonly incarnation: string;
  readonly position: bigint;
  /** Whether its records agree with its hashes. */
  readonly sound: boolean;
}

/** Asks all others to tell where they are. */
export interface Inquiry {
  readonly kind: 'inquiry';
  readonly node: string;
}

export type ProofMessage = Proof | Verdict | Inquiry;

export interface ProofExchange {
  /** Never waits and never fails: without a connection it is lost. */
  publish(partition: number, message: ProofMessage): void;
  /** What others publish, and what the same process does. Returns how to end it. */
  subscribe(partition: number, onMessage: (message: ProofMessage) => void): () => void;
}

export function natsProofExchange(connection: NatsConnection, cluster: string): ProofExchange {
  return {
    publish(partition, message) {
      // While there is none, nats.js would keep it, and everything else, until there is.
      if (isConnected(connection)) connection.publish(proofSubject(cluster, partition), encodeProofMessage(message));
    },
    subscribe(partition, onMessage) {
      if (connection.isClosed()) return () => undefined;
      const subscription = connection.subscribe(proofSubject(cluster, partition), {
        callback: (error, { data }) => {
          const message = error === null ? decodeProofMessage(data) : undefined;
          if (message !== undefined) tell(onMessage, message);
        },
      });
      return () => subscription.unsubscribe();
    },
  };
}

/** Among nodes of one process, for tests. Delivers after what is running now, as a network does. */
export class MemoryProofExchange implements ProofExchange {
  readonly #listeners = new Map<number, Set<(message: ProofMessage) => void>>();

  publish(partition: number, message: ProofMessage): void {
    const listeners = this.#listeners.get(partition) ?? [];
    for (const listener of listeners) {
      queueMicrotask(() => {
        if (this.#listeners.get(partition)?.has(listener) === true) listener(message);
      });
    }
  }

  subscribe(partition: number, onMessage: (message: ProofMessage) => void): () => void {
    const own = (message: ProofMessage): void => onMessage(message);
    const listeners = this.#listeners.get(partition) ?? new Set();
    this.#listeners.set(partition, listeners.add(own));
    return () => listeners.delete(own);
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** As JSON: seldom, small, and readable by who listens on the subject. */
export function encodeProofMessage(message: ProofMessage): Uint8Array {
  return encoder.encode(
    JSON.stringify('position' in message ? { ...message, position: message.position.toString() } : message),
  );
}

/** Undefined where it is none that this version knows: of a newer one, or of somebody who has no business here. */
export function decodeProofMessage(bytes: Uint8Array): ProofMessage | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { kind, node, incarnation, position, chain, stateHash, sound } = parsed as Readonly<Record<string, unknown>>;
  if (typeof node !== 'string') return undefined;
  if (kind === 'inquiry') return { kind, node };
  if (typeof incarnation !== 'string' || typeof position !== 'string' || !/^\d{1,20}$/.test(position)) return undefined;
  const at = { node, incarnation, position: BigInt(position) };
  if (kind === 'proof' && typeof chain === 'string' && typeof stateHash === 'string') {
    return { kind, ...at, chain, stateHash };
  }
  if (kind === 'verdict' && typeof sound === 'boolean') return { kind, ...at, sound };
  return undefined;
}
