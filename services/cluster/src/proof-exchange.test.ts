import { describe, expect, test } from 'vitest';
import type { ProofMessage } from './proof-exchange.ts';
import { decodeProofMessage, encodeProofMessage, MemoryProofExchange } from './proof-exchange.ts';

const proof: ProofMessage = {
  kind: 'proof',
  node: 'n1',
  incarnation: '00000000-0000-4000-8000-000000000001',
  position: 2n ** 60n,
  chain: 'a'.repeat(32),
  stateHash: 'b'.repeat(32),
};
const verdict: ProofMessage = { kind: 'verdict', node: 'n1', incarnation: 'i', position: 256n, sound: false };

describe('a message between replicas', () => {
  test.each([proof, verdict, { kind: 'inquiry', node: 'n2' } as const])('$kind arrives as it was sent', (message) => {
    expect(decodeProofMessage(encodeProofMessage(message))).toEqual(message);
  });

  test.each([
    '',
    'no json',
    'null',
    '[]',
    '{"kind":"proof","node":"n"}',
    '{"kind":"proof","node":"n","incarnation":"i","position":"-1","chain":"","stateHash":""}',
    '{"kind":"proof","node":"n","incarnation":"i","position":1,"chain":"","stateHash":""}',
    '{"kind":"verdict","node":"n","incarnation":"i","position":"1"}',
    '{"kind":"later","node":"n","incarnation":"i","position":"1"}',
    '{"kind":"inquiry"}',
  ])('that is none is passed over: %s', (text) => {
    expect(decodeProofMessage(new TextEncoder().encode(text))).toBeUndefined();
  });
});

test('the exchange in memory delivers to all of the partition, and to nobody who left', async () => {
  const exchange = new MemoryProofExchange();
  const heard: string[] = [];
  const leave = exchange.subscribe(1, ({ kind }) => heard.push(`a ${kind}`));
  exchange.subscribe(1, ({ kind }) => heard.push(`b ${kind}`));
  exchange.subscribe(2, ({ kind }) => heard.push(`other ${kind}`));
  exchange.publish(1, proof);
  expect(heard).toEqual([]);
  await Promise.resolve();
  expect(heard).toEqual(['a proof', 'b proof']);
  leave();
  exchange.publish(1, verdict);
  await Promise.resolve();
  expect(heard).toEqual(['a proof', 'b proof', 'b verdict']);
});
