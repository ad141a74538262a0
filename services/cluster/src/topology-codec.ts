// The topology document as text, and back: protobuf JSON of proto/statestore/v1/topology.proto with a line
// for each partition, so that a person can read it and two of them can be compared. What was read is
// checked in full: nobody works by a document that makes no sense.
import type { JsonObject, JsonValue, MessageInitShape } from '@bufbuild/protobuf';
import { create, fromJson, toJson } from '@bufbuild/protobuf';
import type { PartitionPlacement, Topology } from '@statestore/core';
import { StateStoreError, checkTopology } from '@statestore/core';
import type * as messages from '@statestore/core/gen/statestore/v1/topology_pb';
import { TopologySchema } from '@statestore/core/gen/statestore/v1/topology_pb';
import { checkNodeName } from './names.ts';

/** Of the documents written here. */
export const topologyFormat = 1;

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
  const message = create(TopologySchema, {
    format: topologyFormat,
    epoch: topology.epoch,
    ...(topology.spec === undefined ? {} : { spec: { ...topology.spec, drained: [...topology.spec.drained] } }),
    partitions: topology.partitions.map(placementMessage),
    ...(topology.restoredFrom === undefined ? {} : { restoredFrom: topology.restoredFrom }),
    ...(topology.lineage === undefined ? {} : { lineage: topology.lineage }),
  });
  return toJson(TopologySchema, message) as JsonObject;
}

/** As `decodeTopology`. */
export function topologyFromJson(json: JsonValue): Topology {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw damaged('it is no JSON object');
  const format = json['format'];
  // Before everything else: a newer one may have fields that are not known here.
  if (format !== topologyFormat) {
    if (typeof format !== 'number') throw damaged(`its format is ${JSON.stringify(format)}, which is no number`);
    throw new StateStoreError(
      'data_format',
      `the topology document has format ${format}; this version knows ${topologyFormat}`,
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
  for (const { replicas, joining = [] } of topology.partitions) {
    for (const node of replicas) checkNodeName(node);
    for (const node of joining) checkNodeName(node);
  }
}

function placementMessage(from: PartitionPlacement): MessageInitShape<typeof messages.PlacementSchema> {
  return {
    partition: from.partition,
    slots: from.slots.map(({ start, end }) => ({ start, end })),
    replicas: [...from.replicas],
    joining: [...(from.joining ?? [])],
    leaving: [...(from.leaving ?? [])],
    ...(from.log === undefined ? {} : { log: from.log }),
  };
}

function placement(message: messages.Placement): PartitionPlacement {
  const { log } = message;
  return {
    partition: present(message.partition, 'partition'),
    slots: message.slots.map(({ start, end }) => ({ start: present(start, 'start'), end: present(end, 'end') })),
    replicas: message.replicas,
    ...(message.joining.length === 0 ? {} : { joining: message.joining }),
    ...(message.leaving.length === 0 ? {} : { leaving: message.leaving }),
    ...(log === undefined ? {} : { log: partitionLog(log) }),
  };
}

function partitionLog({
  generation,
  incarnation,
  continues,
}: messages.PartitionLog): PartitionPlacement['log'] & object {
  if (continues === undefined) return { generation, incarnation };
  const { chain } = continues;
  const position = present(continues.position, 'position');
  return { generation, incarnation, continues: { incarnation: continues.incarnation, position, chain } };
}

function spec({ replicationFactor, logReplicas, drained }: messages.TopologySpec): Topology['spec'] & object {
  return { replicationFactor, logReplicas, drained };
}

function present<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw damaged(`a field "${field}" is missing`);
  return value;
}

function damaged(what: string, cause?: unknown): StateStoreError {
  return new StateStoreError('data_corrupt', `the topology document is damaged: ${what}`, { cause });
}
