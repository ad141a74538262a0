// The topology document as text, and back: protobuf JSON of proto/statestore/v1/topology.proto with a line
// for each partition, so that a person can read it and two of them can be compared. What was read is
// checked in full: nobody works by a document that makes no sense.
import type { JsonObject, JsonValue, MessageInitShape } from '@bufbuild/protobuf';
import { create, fromJson, toJson } from '@bufbuild/protobuf';
import type {
  PartitionLog,
  PartitionPlacement,
  PartitionPoint,
  Reshape,
  RetiredPartition,
  SlotRange,
  Topology,
  TopologySpec,
} from '@statestore/core';
import { StateStoreError, checkTopology } from '@statestore/core';
import type * as messages from '@statestore/core/gen/statestore/v1/topology_pb';
import { ReshapeKind, TopologySchema } from '@statestore/core/gen/statestore/v1/topology_pb';
import { checkNodeName } from './names.ts';

/** The greatest that is known here. */
export const topologyFormat = 2;
/** Of a document in which nothing is that was reshaped or is to be: versions before reshapes can read it. */
const plainFormat = 1;

/** Throws `invalid_settings` where the topology makes no sense. */
export function encodeTopology(topology: Topology): Uint8Array {
  const { partitions, ...head } = topologyToJson(topology);
  const lines = (partitions as JsonValue[] | undefined)?.map((placement) => JSON.stringify(placement)) ?? [];
  const text = `${JSON.stringify(head).slice(0, -1)},"partitions":[\n${lines.join(',\n')}\n]}\n`;
  return new TextEncoder().encode(text);
}

/** Throws `data_format` where the document is of another format, `data_corrupt` where it is damaged or makes no sense. */
export function decodeTopology(bytes: Uint8Array): Topology {
  let json: JsonValue;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as JsonValue;
  } catch (cause) {
    throw damaged('it is not JSON', cause);
  }
  return topologyFromJson(json);
}

/** As `encodeTopology`, as a part of another document. */
export function topologyToJson(topology: Topology): JsonObject {
  check(topology);
  const { spec, reshapes = [], retired = [], lastGeneration, forgotten, restoredFrom, lineage } = topology;
  const message = create(TopologySchema, {
    format: isPlain(topology) ? plainFormat : topologyFormat,
    epoch: topology.epoch,
    ...(spec === undefined ? {} : { spec: { ...spec, drained: [...spec.drained] } }),
    partitions: topology.partitions.map(placementMessage),
    ...(restoredFrom === undefined ? {} : { restoredFrom }),
    ...(lineage === undefined ? {} : { lineage }),
    reshapes: reshapes.map(reshapeMessage),
    retired: retired.map(({ placement: former, ...rest }) => ({ ...rest, placement: placementMessage(former) })),
    ...(lastGeneration === undefined ? {} : { lastGeneration }),
    ...(forgotten === undefined ? {} : { forgotten }),
  });
  return toJson(TopologySchema, message) as JsonObject;
}

function isPlain({ spec, partitions, reshapes = [], retired = [], lastGeneration, forgotten }: Topology): boolean {
  const isAsked = spec?.partitions !== undefined || spec?.resizePaused === true;
  if (isAsked || reshapes.length + retired.length > 0) return false;
  if (lastGeneration !== undefined || forgotten !== undefined) return false;
  return partitions.every(({ slotsEpoch, origin }) => slotsEpoch === undefined && origin === undefined);
}

/** As `decodeTopology`. */
export function topologyFromJson(json: JsonValue): Topology {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw damaged('it is no JSON object');
  const format = json['format'];
  // Before everything else: a newer one may have fields that are not known here.
  if (format !== plainFormat && format !== topologyFormat) {
    if (typeof format !== 'number') throw damaged(`its format is ${JSON.stringify(format)}, which is no number`);
    throw new StateStoreError(
      'data_format',
      `the topology document has format ${format}; this version knows ${plainFormat} to ${topologyFormat}`,
      {
        hint: 'run the version of StateStore that wrote it, or a newer one',
      },
    );
  }
  let message: messages.Topology;
  try {
    message = fromJson(TopologySchema, json);
  } catch (cause) {
    throw damaged(cause instanceof Error ? cause.message : 'it does not fit its schema', cause);
  }
  const topology: Topology = {
    epoch: present(message.epoch, 'epoch'),
    ...(message.spec === undefined ? {} : { spec: spec(message.spec) }),
    partitions: message.partitions.map(placement),
    ...(message.restoredFrom === undefined ? {} : { restoredFrom: { checkpoint: message.restoredFrom.checkpoint } }),
    ...(message.lineage === '' ? {} : { lineage: message.lineage }),
    ...(message.reshapes.length === 0 ? {} : { reshapes: message.reshapes.map(reshape) }),
    ...(message.retired.length === 0 ? {} : { retired: message.retired.map(retiredPartition) }),
    ...(message.lastGeneration === 0 ? {} : { lastGeneration: message.lastGeneration }),
    ...(message.forgotten === 0n ? {} : { forgotten: message.forgotten }),
  };
  try {
    check(topology);
  } catch (cause) {
    if (cause instanceof StateStoreError) throw damaged(cause.message, cause);
    throw cause;
  }
  return topology;
}

function check(topology: Topology): void {
  checkTopology(topology);
  for (const node of topology.spec?.drained ?? []) checkNodeName(node);
  const former = topology.retired?.map(({ placement: each }) => each) ?? [];
  for (const { replicas, joining = [] } of [...topology.partitions, ...former]) {
    for (const node of replicas) checkNodeName(node);
    for (const node of joining) checkNodeName(node);
  }
}

function placementMessage(from: PartitionPlacement): MessageInitShape<typeof messages.PlacementSchema> {
  return {
    partition: from.partition,
    slots: slotsMessage(from.slots),
    replicas: [...from.replicas],
    joining: [...(from.joining ?? [])],
    leaving: [...(from.leaving ?? [])],
    ...(from.log === undefined ? {} : { log: from.log }),
    ...(from.slotsEpoch === undefined ? {} : { slotsEpoch: from.slotsEpoch }),
    ...(from.origin === undefined ? {} : { origin: from.origin }),
  };
}

const kinds = { split: ReshapeKind.SPLIT, merge: ReshapeKind.MERGE } as const;

function reshapeMessage({ kind, slots, ...from }: Reshape): MessageInitShape<typeof messages.ReshapeSchema> {
  return { ...from, kind: kinds[kind], slots: slotsMessage(slots) };
}

function slotsMessage(slots: readonly SlotRange[]): SlotRange[] {
  return slots.map(({ start, end }) => ({ start, end }));
}

function placement(message: messages.Placement): PartitionPlacement {
  const { log, slotsEpoch, origin } = message;
  return {
    partition: present(message.partition, 'partition'),
    slots: message.slots.map(slotRange),
    replicas: message.replicas,
    ...(message.joining.length === 0 ? {} : { joining: message.joining }),
    ...(message.leaving.length === 0 ? {} : { leaving: message.leaving }),
    ...(log === undefined ? {} : { log: partitionLog(log) }),
    ...(slotsEpoch === 0n ? {} : { slotsEpoch }),
    ...(origin === undefined ? {} : { origin: point(origin) }),
  };
}

function slotRange({ start, end }: messages.SlotRange): SlotRange {
  return { start: present(start, 'start'), end: present(end, 'end') };
}

function partitionLog({ generation, incarnation, continues }: messages.PartitionLog): PartitionLog {
  if (continues === undefined) return { generation, incarnation };
  const { chain } = continues;
  const position = present(continues.position, 'position');
  return { generation, incarnation, continues: { incarnation: continues.incarnation, position, chain } };
}

function point({ partition, generation, position }: messages.Point): PartitionPoint {
  return { partition: present(partition, 'partition'), generation, position: present(position, 'position') };
}

function reshape({ kind, id, cancelled, log, ...message }: messages.Reshape): Reshape {
  const fields = {
    id,
    source: present(message.source, 'source'),
    target: present(message.target, 'target'),
    slots: message.slots.map(slotRange),
    slotsEpoch: present(message.slotsEpoch, 'slotsEpoch'),
    ...(cancelled ? { cancelled } : {}),
  };
  if (kind === ReshapeKind.MERGE) return { kind: 'merge', ...fields };
  if (kind !== ReshapeKind.SPLIT) throw damaged(`a reshape is of kind ${kind}, which nobody knows`);
  const { generation, incarnation } = present(log, 'log');
  return { kind: 'split', ...fields, log: { generation, incarnation } };
}

function retiredPartition(message: messages.Retired): RetiredPartition {
  return {
    placement: placement(present(message.placement, 'placement')),
    sealedPosition: present(message.sealedPosition, 'sealedPosition'),
    into: point(present(message.into, 'into')),
    slotsEpoch: present(message.slotsEpoch, 'slotsEpoch'),
    ...(message.ended ? { ended: true } : {}),
  };
}

function spec(message: messages.TopologySpec): TopologySpec {
  const { replicationFactor, logReplicas, drained, partitions, partitionsBefore, resizePaused } = message;
  return {
    replicationFactor,
    logReplicas,
    drained,
    ...(partitions === 0 ? {} : { partitions }),
    ...(partitionsBefore === 0 ? {} : { partitionsBefore }),
    ...(resizePaused ? { resizePaused } : {}),
  };
}

function present<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw damaged(`a field "${field}" is missing`);
  return value;
}

function damaged(what: string, cause?: unknown): StateStoreError {
  return new StateStoreError('data_corrupt', `the topology document is damaged: ${what}`, { cause });
}
