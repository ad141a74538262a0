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

const third = '0198c5a4-0000-4000-8000-000000000003';
const log = { generation: 1, incarnation: uuid };
const at = (
  partition: number,
  start: number,
  end: number,
  replicas = ['n1', 'n2'],
): Topology['partitions'][number] => ({
  partition,
  slots: [{ start, end }],
  replicas,
  log,
});

const reshaping: Topology = {
  epoch: 12n,
  spec: {
    replicationFactor: 2,
    logReplicas: 3,
    drained: [],
    partitions: 16,
    partitionsBefore: 3,
    resizePaused: true,
  },
  partitions: [
    at(0, 0, 1000),
    {
      ...at(1, 1000, 2000, ['n2', 'n1']),
      slotsEpoch: 9n,
      origin: { partition: 0, generation: 1, position: 0n },
    },
    at(2, 2000, limits.slotCount),
  ],
  reshapes: [
    { kind: 'merge', id: uuid, source: 1, target: 0, slots: [{ start: 1000, end: 2000 }], slotsEpoch: 12n },
    {
      kind: 'split',
      id: other,
      source: 2,
      target: 9,
      slots: [{ start: 3000, end: limits.slotCount }],
      slotsEpoch: 11n,
      cancelled: true,
      log: { generation: 7, incarnation: third },
    },
  ],
  retired: [
    {
      placement: {
        partition: 5,
        slots: [],
        replicas: ['n3'],
        log: { generation: 2, incarnation: other },
        slotsEpoch: 4n,
      },
      sealedPosition: 0n,
      into: { partition: 7, generation: 3, position: 2n ** 63n },
      slotsEpoch: 8n,
      ended: true,
    },
  ],
  lastGeneration: 7,
  forgotten: 3n,
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
    expect(decodeTopology(encodeTopology(reshaping))).toEqual(reshaping);
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

  test('can be read by versions before reshapes while there were none', () => {
    const { reshapes: _reshapes, retired: _retired, lastGeneration: _last, forgotten: _forgotten, ...rest } = reshaping;
    const { origin: _origin, slotsEpoch: _epoch, ...first } = reshaping.partitions[1]!;
    const { partitions: _partitions, partitionsBefore: _before, resizePaused: _paused, ...spec } = reshaping.spec!;
    const plain = { ...rest, spec, partitions: [reshaping.partitions[0]!, first, reshaping.partitions[2]!] };
    expect(JSON.parse(text(plain))).toMatchObject({ format: 1 });
    const { retired, lastGeneration, forgotten, reshapes } = reshaping;
    const parts: readonly Partial<Topology>[] = [
      { spec: { ...spec, partitions: 3 } },
      { spec: { ...spec, resizePaused: true } },
      { partitions: [plain.partitions[0]!, { ...first, slotsEpoch: 9n }, plain.partitions[2]!] },
      { reshapes: reshapes! },
      { retired: retired! },
      { lastGeneration: lastGeneration! },
      { forgotten: forgotten! },
    ];
    for (const part of parts) {
      const topology = { ...plain, ...part };
      expect(JSON.parse(text(topology))).toMatchObject({ format: 2 });
      expect(decode(text(topology))).toEqual(topology);
    }
  });

  test.each<[string, string, string]>([
    ['has a reshape of no kind', text(reshaping).replace('"kind":"RESHAPE_KIND_MERGE",', ''), 'kind 0'],
    ['has a split without a log', text(reshaping).replace(/,"log":{"generation":7,[^}]*}/, ''), '"log" is missing'],
    ['has a reshape without an id', text(reshaping).replace(`"id":"${other}"`, '"id":""'), 'no UUID'],
    ['has a point of nowhere', text(reshaping).replace('"into":{"partition":7,', '"into":{'), '"partition" is missing'],
    ['wishes for too many partitions', text(reshaping).replace('"partitions":16', '"partitions":4097'), '4097'],
  ])('that %s is refused, saying so', (_, json, says) => {
    expect(json).not.toBe(text(reshaping));
    const error = problem(json);
    expect(error).toMatchObject({ code: 'data_corrupt' });
    expect(error.message).toContain(says);
  });

  test('of a newer format is refused, whatever else is in it', () => {
    const error = problem('{"format":3,"surprise":{"a":1}}');
    expect(error).toMatchObject({ code: 'data_format' });
    expect(error.message).toContain('format 3');
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
