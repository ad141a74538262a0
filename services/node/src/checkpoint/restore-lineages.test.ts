import { create } from '@bufbuild/protobuf';
import { CheckpointManifestSchema, CheckpointTrigger } from '@statestore/core/gen/statestore/v1/checkpoint_pb';
import { expect, test } from 'vitest';
import { refuseNamesakes } from './restore-lineages.ts';
import type { RestoreMoment } from './restore-plan.ts';

const newest: RestoreMoment = { kind: 'newest' };
const refused = expect.objectContaining({ code: 'invalid_parameter' }) as Error;

/** The newest first: `a` and `b` by two clusters, `r` by a restore for the second one. At 1000 ms, 2000 ms and so on. */
function listed(makers: string, cluster = 'demo') {
  const count = makers.length;
  const checkpoints = makers.split('').map((maker, at) => {
    const trigger = maker === 'r' ? CheckpointTrigger.RESTORE : CheckpointTrigger.MANUAL;
    const id = `id${count - at}`;
    const startedAtMs = BigInt((count - at) * 1000);
    const lineage = maker === 'r' ? 'b' : maker;
    return { id, manifest: create(CheckpointManifestSchema, { id, cluster, lineage, trigger, startedAtMs }) };
  });
  return { checkpoints };
}

test.each(['', 'aaa', 'bba', 'bra', 'rab', 'raa'])('one after the other is no question: %j', (makers) => {
  expect(() => refuseNamesakes(listed(makers), 'demo', newest)).not.toThrow();
});

test('where both went on, both are named', () => {
  const both = listed('babra');
  expect(() => refuseNamesakes(both, 'demo', newest)).toThrow(/id5, by .* id4, by /);
  expect(() => refuseNamesakes(both, 'demo', { kind: 'position', positions: new Map() })).toThrow(refused);
  expect(() => refuseNamesakes(both, 'demo', { kind: 'time', nanos: 3_000_000_000n })).toThrow(refused);
  expect(() => refuseNamesakes(both, 'demo', { kind: 'time', nanos: 2_999_999_999n })).not.toThrow();
  expect(() => refuseNamesakes(both, 'other', newest)).not.toThrow();
});
