import type { Topology } from '@statestore/core';
import { StateStoreError, evenTopology, limits } from '@statestore/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeTopology, encodeTopology } from './topology-codec.ts';

const uuid = '0198c5a4-0000-4000-8000-000000000001';
const other = '0198c5a4-0000-4000-8000-000000000002';

const full: Topology = {
  epoch: 2n ** 64n - 1n,
  spec: { replicationFactor: 2, logReplicas: 3, drained: ['n9'] },
  partitions: [
    {
      partition: 0,
      slots: [
        { start: 0, end: 10 },
        { start: 11, end: limits.slotCount },
      ],
      replicas: ['n1', 'n2'],
      joining: ['n3'],
      leaving: ['n2'],
      log: {
        generation: 2,
        incarnation: uuid,
        continues: { incarnation: other, position: 0n, chain: '00112233445566778899aabbccddeeff' },
      },
    },
    { partition: 7, slots: [{ start: 10, end: 11 }], replicas: ['n1'] },
  ],
};

const text = (topology: Topology): string => new TextDecoder().decode(encodeTopology(topology));
const decode = (json: string): Topology => decodeTopology(new TextEncoder().encode(json));

function problem(json: string): StateStoreError {
  try {
    decode(json);
  } catch (error) {
    if (error instanceof StateStoreError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('the topology document', () => {
  test('comes back as it was', () => {
    expect(decodeTopology(encodeTopology(full))).toEqual(full);
    const plain = evenTopology(5, ['n1', 'n2', 'n3']);
    expect(decodeTopology(encodeTopology(plain))).toEqual(plain);
  });

  test('comes back as it was, whatever it is', () => {
    const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 1, max: 300 }),
        fc.uniqueArray(name, { minLength: 2, maxLength: 6 }),
        fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        (epoch, count, nodes, generation) => {
          const even = evenTopology(count, nodes.slice(1));
          const topology: Topology = {
            epoch,
            partitions: even.partitions.map((placement, at) => ({
              ...placement,
              ...(at % 3 === 0 ? { joining: nodes.slice(0, 1) } : {}),
              ...(at % 2 === 0 ? { leaving: nodes.slice(1, 2) } : {}),
              log: { generation, incarnation: uuid },
            })),
          };
          expect(decodeTopology(encodeTopology(topology))).toEqual(topology);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('has a line for each partition', () => {
    const lines = text(full).trimEnd().split('\n');
    expect(lines).toHaveLength(full.partitions.length + 2);
    expect(JSON.parse(lines[2]!)).toEqual({ partition: 7, slots: [{ start: 10, end: 11 }], replicas: ['n1'] });
  });

  test('of a newer format is refused, whatever else is in it', () => {
    const error = problem('{"format":2,"surprise":{"a":1}}');
    expect(error).toMatchObject({ code: 'data_format' });
    expect(error.message).toContain('format 2');
  });

  test.each<[string, string, string]>([
    ['is cut', text(full).slice(0, -20), 'not JSON'],
    ['is empty', '', 'not JSON'],
    ['is a list', '[]', 'no JSON object'],
    ['has no format', text(full).replace('"format":1,', ''), 'format is undefined'],
    ['has no epoch', text(full).replace(/"epoch":"\d+",/, ''), '"epoch" is missing'],
    ['has epoch 0', text(full).replace(/"epoch":"\d+"/, '"epoch":"0"'), 'epoch is 0'],
    ['has a field that nobody knows', text(full).replace('"format":1', '"format":1,"x":1'), '"x"'],
    ['has a number where a name was due', text(full).replace('["n1","n2"]', '["n1",2]'), 'replicas'],
    ['has a partition without a number', text(full).replace('"partition":7,', ''), '"partition" is missing'],
    ['has a partition twice', text(full).replace('"partition":7', '"partition":0'), 'two partitions 0'],
    [
      'has a slot of two owners',
      text(full).replace('"start":10,', '"start":9,'),
      'slot 9 belongs to partitions 0 and 7',
    ],
    ['has a slot of no owner', text(full).replace('{"start":0,', '{"start":1,'), 'slot 0 belongs to no partition'],
    ['has slots that are none', text(full).replace('"start":10,"end":11', '"start":10,"end":10'), 'which are none'],
    ['has too many slots', text(full).replace('"end":4096', '"end":4097'), '4097'],
    ['has a partition without replicas', text(full).replace('"replicas":["n1"]', '"replicas":[]'), 'no replicas'],
    ['has a replica twice', text(full).replace('["n1","n2"]', '["n2","n2"]'), 'n2 twice'],
    [
      'has a replica that joins',
      text(full).replace('"joining":["n3"]', '"joining":["n1"]'),
      'n1 as replica and as joining',
    ],
    ['has a stranger that leaves', text(full).replace('"leaving":["n2"]', '"leaving":["n3"]'), 'n3 leaving'],
    ['has a name that cannot be', text(full).replace('"joining":["n3"]', '"joining":["N 3"]'), 'N 3'],
    ['has a log without an incarnation', text(full).replace(uuid, ''), 'no UUID'],
    ['has a log of generation 0', text(full).replace('"generation":2', '"generation":0'), 'generation 0'],
    ['has a chain that is none', text(full).replace('ccddeeff', 'ccddeef'), 'chain'],
    ['has log replicas that cannot be', text(full).replace('"logReplicas":3', '"logReplicas":2'), '1, 3 or 5'],
  ])('that %s is refused, saying so', (_, json, says) => {
    const error = problem(json);
    expect(error).toMatchObject({ code: 'data_corrupt' });
    expect(error.message).toContain(says);
  });

  test('that makes no sense is not written either', () => {
    expect(() => encodeTopology({ ...full, epoch: 0n })).toThrow(StateStoreError);
  });
});
