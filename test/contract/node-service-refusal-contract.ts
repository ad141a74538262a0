// The part of the contract of NodeService that is about what it must not do; node-service-contract.ts runs it.
import { describe, expect, test } from 'vitest';
import { type Command, type CommandResult, limits } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import { codeOf, eventual, mutate, put, store } from './node-service-fixture.ts';

const stampOf = (session: string) => ({ session, counter: 1, firstUnanswered: 1, opens: true });

/** `current`: the service of the test that runs. It holds partition 0, and not 7. */
export function refusalContract(current: () => NodeService): void {
  const propose = (command: Command, partition = 0): Promise<CommandResult> => current().propose(partition, command);
  const applied = async (): Promise<bigint> =>
    (await current().status()).partitions.find(({ partition }) => partition === 0)!.appliedPosition;

  describe('refusals', () => {
    test('a partition that is elsewhere', async () => {
      const { signal } = new AbortController();
      const attempts = [
        () => propose(mutate([put('a', '1')]), 7),
        () => current().get(7, store, 'a', eventual),
        () => current().getMany(7, store, ['a'], eventual),
        () => current().scan(7, { store, reverse: false, limit: 1, bytesMax: 1, values: true }, eventual),
        () => current().store(7, store),
        () => current().stores(7),
        () => current().watch(7, { store, prefix: '', signal })[Symbol.asyncIterator]().next(),
        () => current().sync(7),
        () => current().compact(7),
      ];
      for (const attempt of attempts) expect(await codeOf(attempt)).toBe('moved');
    });

    test.each<[string, Command]>([
      ['invalid_key', mutate([put('', '1')])],
      ['invalid_key', mutate([put('k'.repeat(limits.keyBytesMax + 1), '1')])],
      ['invalid_store_name', mutate([put('a', '1')], { store: '../x' })],
      ['value_too_large', mutate([put('a', new Uint8Array(limits.valueBytesMax + 1))])],
      // In bytes: its length is written into one.
      ['invalid_parameter', mutate([put('a', '1', { contentType: 'é'.repeat(limits.contentTypeBytesMax - 1) })])],
      // They become parts of keys; one that is too long for the engine would halt the partition for good.
      ['invalid_parameter', { ...mutate([put('a', '1')]), stamp: stampOf('s'.repeat(5000)) }],
      ['invalid_parameter', { ...mutate([put('a', '1')]), idempotency: { id: 'i', fingerprint: 'f'.repeat(16) } }],
    ])('%s, and nothing changes', async (code, command) => {
      const position = await applied();
      expect(await codeOf(() => propose(command))).toBe(code);
      expect(await applied()).toBe(position);
    });
  });
}
