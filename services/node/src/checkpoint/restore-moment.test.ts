import { create } from '@bufbuild/protobuf';
import type { PartitionLog } from '@statestore/core';
import { hashFromBytes, hashToHex } from '@statestore/core';
import { CheckpointManifestSchema, PartitionSummarySchema } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { describe, expect, test } from 'vitest';
import { initialStateOf, leadsToLog } from './initial-state.ts';
import { parseMoment } from './restore-moment.ts';

describe('a moment', () => {
  test.each([
    ['newest', { kind: 'newest' }],
    ['17', { kind: 'position', positions: new Map([[0, 17n]]) }],
    [
      '0:17,12:3',
      {
        kind: 'position',
        positions: new Map([
          [0, 17n],
          [12, 3n],
        ]),
      },
    ],
    ['2026-11-21T14:00:00Z', { kind: 'time', nanos: 1_795_269_600_000_000_000n }],
    ['2026-11-21T14:00:00.123456789Z', { kind: 'time', nanos: 1_795_269_600_123_456_789n }],
  ])('%s', (text, moment) => {
    expect(parseMoment(text)).toEqual(moment);
  });

  test.each(['', 'now', '-1', '0:1,0:2', '0:', '2026-11-21', '2026-11-21T14:00:00', '2026-13-21T14:00:00Z', '1.5'])(
    '%j is none',
    (text) => {
      expect(parseMoment(text)).toBeUndefined();
    },
  );
});

const incarnation = '01900000-0000-7000-8000-000000000001';
const chain = Uint8Array.from({ length: 16 }, (_, i) => i);
const chainText = hashToHex(hashFromBytes(chain));
const summary = (partition: number, position: bigint) =>
  create(PartitionSummarySchema, { partition, position, incarnation, chain, slots: [{ start: 0, end: 4096 }] });

const slots = [{ start: 0, end: 4096 }];

describe('a checkpoint as a beginning', () => {
  test('names where each log carries on; one without a history begins at the beginning', () => {
    const manifest = create(CheckpointManifestSchema, { id: 'x', partitions: [summary(0, 7n), summary(1, 0n)] });
    expect(initialStateOf(manifest)).toEqual({
      checkpoint: 'x',
      partitions: [
        { partition: 0, slots, continues: { incarnation, position: 7n, chain: chainText } },
        { partition: 1, slots, continues: undefined },
      ],
    });
    const reshaped = create(CheckpointManifestSchema, { id: 'x', partitions: [{ ...summary(5, 7n), slotsEpoch: 9n }] });
    expect(initialStateOf(reshaped).partitions).toMatchObject([{ partition: 5, slotsEpoch: 9n }]);
  });

  const own = { generation: 1, incarnation };
  const next = { generation: 1, incarnation: 'next', continues: { incarnation, position: 7n, chain: chainText } };
  test.each<[string, PartitionLog, bigint, bigint, boolean]>([
    ['of the log', own, 1n, 20n, true],
    ['where the log begins right after it', own, 8n, 20n, true],
    ['where the log was trimmed beyond it', own, 9n, 20n, false],
    ['that is ahead of the log', own, 1n, 6n, false],
    ['at the end of the log', own, 1n, 7n, true],
    ['that the log carries on', next, 8n, 7n, true],
    ['that the log carries on elsewhere', { ...next, continues: { ...next.continues, position: 6n } }, 7n, 9n, false],
    ['with another chain', { ...next, continues: { ...next.continues, chain: 'f'.repeat(32) } }, 8n, 7n, false],
    ['of another log', { generation: 1, incarnation: 'other' }, 1n, 20n, false],
  ])('%s is of use: %#', (_, log, first, last, expected) => {
    expect(leadsToLog(summary(0, 7n), log, { first, last })).toBe(expected);
  });
});
