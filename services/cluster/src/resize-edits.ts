// What may be asked of the number of partitions, as pure functions for changeTopology: the wish is written down, and
// coordination carries it out (coordinator-resize.ts). Each returns undefined where it is so already, and throws
// `invalid_parameter` where it cannot be.
import type { Topology, TopologySpec } from '@statestore/core';
import { StateStoreError, limits } from '@statestore/core';
import { specOf } from './coordinator-view.ts';
import type { Edit } from './topology-edits.ts';

/** There are to be so many. Also while another number is on its way; one that was paused stays so. */
export function withPartitions(topology: Topology, partitions: number): Edit {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > limits.partitionsMax) {
    const message = `partitions is ${partitions}; it may be 1 to ${limits.partitionsMax}`;
    throw new StateStoreError('invalid_parameter', message);
  }
  const spec = specOf(topology);
  if (spec.partitions === partitions || (partitions === topology.partitions.length && !isResizing(topology))) {
    return undefined;
  }
  return { spec: { ...spec, partitions, partitionsBefore: topology.partitions.length } };
}

/** No further split or merge is begun, nor what prepares one; those under way come to their ends. */
export function resizePaused(topology: Topology, paused: boolean): Edit {
  const spec = specOf(topology);
  if ((spec.resizePaused === true) === paused) return undefined;
  if (paused && spec.partitions === undefined) {
    throw new StateStoreError('invalid_parameter', 'the number of partitions is not being changed', {
      hint: 'there is nothing to pause',
    });
  }
  const { resizePaused: _, ...rest } = spec;
  return { spec: paused ? { ...rest, resizePaused: paused } : rest };
}

/** There are to be as many as there are; what is under way is given up where that can still be. */
export function resizeCancelled(topology: Topology): Edit {
  const { spec = specOf(topology), reshapes = [] } = topology;
  const isAsked = spec.partitions !== undefined || spec.resizePaused === true;
  if (!isAsked && reshapes.every(({ cancelled }) => cancelled)) return undefined;
  return { spec: withoutWish(spec), reshapes: reshapes.map((each) => ({ ...each, cancelled: true })) };
}

export function withoutWish(spec: TopologySpec): TopologySpec {
  const { partitions: _partitions, partitionsBefore: _before, resizePaused: _paused, ...rest } = spec;
  return rest;
}

/** Whether a change of the number of partitions is not over, with all that follows from it. */
export function isResizing({ spec, reshapes = [], retired = [] }: Topology): boolean {
  return spec?.partitions !== undefined || reshapes.length > 0 || retired.length > 0;
}
