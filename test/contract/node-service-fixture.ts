// Commands and questions that the contract of NodeService is written in.
import { expect } from 'vitest';
import {
  type BinaryString,
  type Command,
  type Condition,
  defaultTtl,
  type Mutate,
  noCondition,
  type Operation,
  StateStoreError,
  type Ttl,
} from '@statestore/core';
import type { Entry, NodeService } from '@statestore/link';

export interface NodeServiceFixture {
  readonly service: NodeService;
  close(): Promise<void>;
}

export const store = 'carts';
export const strong = { consistency: 'strong' } as const;
export const eventual = { consistency: 'eventual' } as const;

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function put(
  key: BinaryString,
  value: Uint8Array | string,
  more: { condition?: Condition; ttl?: Ttl; contentType?: string } = {},
): Operation {
  const { condition = noCondition, ttl = defaultTtl, contentType = '' } = more;
  return { kind: 'put', key, value: typeof value === 'string' ? bytes(value) : value, condition, ttl, contentType };
}

export function mutate(operations: readonly Operation[], more: Partial<Mutate> = {}): Command {
  return { body: { kind: 'mutate', store, atomic: false, checks: [], operations, ...more } };
}

/** The code that this fails with. */
export async function codeOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
  } catch (error) {
    if (!(error instanceof StateStoreError)) throw error;
    expect(error.message).not.toBe('');
    return error.code;
  }
  return 'it did not fail';
}

export function increment(key: BinaryString, delta: bigint): Operation {
  return { kind: 'increment', key, delta, condition: noCondition, ttl: defaultTtl };
}

export function text(entry: Entry | undefined): string | undefined {
  return entry === undefined ? undefined : new TextDecoder().decode(entry.value);
}
