// The next moves towards nodes that carry equally much: as many at a time as copies may be made.
import type { PartitionLoad, ReplicaMove } from '@statestore/core';
import { StateStoreError, planBalance } from '@statestore/core';
import type { CoordinatorView } from './coordinator-view.ts';
import { planNodes } from './coordinator-view.ts';
import { Joins } from './joins.ts';
import type { Edit } from './topology-edits.ts';
import { moved } from './topology-edits.ts';

export interface Balancing {
  readonly moves: readonly ReplicaMove[];
  readonly edit: Edit;
}

/** Pure. Throws `invalid_parameter` while the number of partitions is being changed. */
export function balanced(view: CoordinatorView, loads: ReadonlyMap<number, PartitionLoad>): Balancing {
  const { topology } = view;
  const { spec, partitions, reshapes = [] } = topology;
  if (spec?.partitions !== undefined || reshapes.length > 0) {
    throw new StateStoreError('invalid_parameter', 'the number of partitions is being changed', {
      hint: 'nodes are evened out at its end; ask for this after that',
    });
  }
  const joins = new Joins(topology);
  const moves: ReplicaMove[] = [];
  let placements = partitions;
  for (const exchange of planBalance(partitions, planNodes(view), loads)) {
    // All of it or nothing: a half would leave nodes uneven in number, and be undone.
    if (!joins.takeAll(exchange.map(({ to }) => to))) continue;
    for (const move of exchange) {
      placements = moved({ ...topology, partitions: placements }, move)?.partitions ?? placements;
      moves.push(move);
    }
  }
  return { moves, edit: moves.length === 0 ? undefined : { partitions: placements } };
}
