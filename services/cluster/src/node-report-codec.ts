// A node's report as JSON text, and back. Reports are read by versions before and after the one that
// wrote them while a cluster is upgraded: fields that are not known are passed over, and what is read is
// checked as far as somebody relies on it.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { StateStoreError } from '@statestore/core';
import { checkNodeName } from './names.ts';
import type {
  BuildReport,
  KeptReport,
  NodeReport,
  PassedPosition,
  ReplicaReport,
  RepositorySilenceReport,
  ReshapeReport,
} from './node-registry.ts';
import { topologyFromJson, topologyToJson } from './topology-codec.ts';

/** Of the reports written here: raised where a reader of the one before would be misled. */
export const nodeReportFormat = 1;

export function encodeNodeReport(report: NodeReport): Uint8Array {
  checkNodeName(report.name);
  const { lastTopology, ...rest } = report;
  const topology = lastTopology === undefined ? {} : { lastTopology: topologyToJson(lastTopology) };
  return new TextEncoder().encode(JSON.stringify({ format: nodeReportFormat, ...rest, ...topology }));
}

/** Throws `data_format` where the report is of another format, `data_corrupt` where it is damaged. */
export function decodeNodeReport(bytes: Uint8Array): NodeReport {
  let json: JsonValue;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as JsonValue;
  } catch (cause) {
    throw damaged('it is not JSON', cause);
  }
  const object = objectOf(json, 'report');
  const { format, kept, lastTopology, reshapes, repositorySilence: silence } = object;
  if (format !== nodeReportFormat) {
    const found = JSON.stringify(format);
    throw new StateStoreError(
      'data_format',
      `a node's report has format ${found}; this version knows ${nodeReportFormat}`,
    );
  }
  const disk = objectOf(object['disk'], 'disk');
  const name = text(object, 'name');
  checkNodeName(name);
  return {
    name,
    address: text(object, 'address'),
    zone: text(object, 'zone'),
    version: text(object, 'version'),
    boot: text(object, 'boot'),
    count: number(object, 'count'),
    epoch: position(object, 'epoch'),
    draining: object['draining'] === true,
    disk: { freeBytes: number(disk, 'freeBytes'), totalBytes: number(disk, 'totalBytes') },
    replicas: list(object, 'replicas').map(replicaReport),
    ...(kept === undefined ? {} : { kept: list(object, 'kept').map(keptReport) }),
    ...(silence === undefined ? {} : { repositorySilence: silenceReport(silence) }),
    ...(reshapes === undefined ? {} : { reshapes: list(object, 'reshapes').map(reshapeReport) }),
    ...(lastTopology === undefined ? {} : { lastTopology: topologyFromJson(lastTopology) }),
  };
}

function replicaReport(json: JsonValue): ReplicaReport {
  const object = objectOf(json, 'replica');
  const { haltCause, operations, durable, build, holdsLog } = object;
  return {
    partition: number(object, 'partition'),
    // One that is not known yet is none of those that anybody looks for.
    state: text(object, 'state') as ReplicaReport['state'],
    ...(typeof haltCause === 'string' ? { haltCause } : {}),
    reason: text(object, 'reason'),
    incarnation: text(object, 'incarnation'),
    appliedPosition: position(object, 'appliedPosition'),
    storedPosition: position(object, 'storedPosition'),
    lag: number(object, 'lag'),
    chain: text(object, 'chain'),
    stateHash: text(object, 'stateHash'),
    entries: number(object, 'entries'),
    bytes: number(object, 'bytes'),
    ...(object['heardPosition'] === undefined ? {} : { heardPosition: position(object, 'heardPosition') }),
    ...(object['passed'] === undefined ? {} : { passed: list(object, 'passed').map(passedPosition) }),
    ...(typeof operations === 'number' ? { operations } : {}),
    ...(typeof durable === 'boolean' ? { durable } : {}),
    ...(holdsLog === true ? { holdsLog } : {}),
    ...(build === undefined ? {} : { build: buildReport(build) }),
  };
}

function passedPosition(json: JsonValue): PassedPosition {
  const object = objectOf(json, 'passed position');
  const { chain } = object;
  return { position: position(object, 'position'), ...(typeof chain === 'string' ? { chain } : {}) };
}

function buildReport(json: JsonValue): BuildReport {
  const object = objectOf(json, 'build');
  const { part, remainingMs } = object;
  return {
    source: text(object, 'source') as BuildReport['source'],
    from: text(object, 'from'),
    records: number(object, 'records'),
    bytes: number(object, 'bytes'),
    ...(typeof part === 'number' ? { part } : {}),
    ...(typeof remainingMs === 'number' ? { remainingMs } : {}),
  };
}

function keptReport(json: JsonValue): KeptReport {
  const object = objectOf(json, 'kept data');
  return {
    partition: number(object, 'partition'),
    path: text(object, 'path'),
    why: text(object, 'why'),
    bytes: number(object, 'bytes'),
  };
}

function reshapeReport(json: JsonValue): ReshapeReport {
  const object = objectOf(json, 'reshape');
  const { part } = object;
  return {
    id: text(object, 'id'),
    // As of replicas.
    state: text(object, 'state') as ReshapeReport['state'],
    position: position(object, 'position'),
    entries: number(object, 'entries'),
    bytes: number(object, 'bytes'),
    ...(typeof part === 'number' ? { part } : {}),
    why: text(object, 'why'),
  };
}

function silenceReport(json: JsonValue): RepositorySilenceReport {
  const object = objectOf(json, 'silence of the repository');
  return { sinceMs: number(object, 'sinceMs'), why: text(object, 'why') };
}

function objectOf(json: JsonValue | undefined, what: string): JsonObject {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json;
  throw damaged(`its ${what} is no object`);
}

function text(object: JsonObject, field: string): string {
  const value = object[field];
  if (typeof value === 'string') return value;
  throw damaged(`its ${field} is ${JSON.stringify(value)}, which is no text`);
}

function number(object: JsonObject, field: string): number {
  const value = object[field];
  if (typeof value === 'number') return value;
  throw damaged(`its ${field} is ${JSON.stringify(value)}, which is no number`);
}

function position(object: JsonObject, field: string): string {
  const value = text(object, field);
  if (/^\d{1,20}$/.test(value)) return value;
  throw damaged(`its ${field} is ${JSON.stringify(value)}, which is no position`);
}

function list(object: JsonObject, field: string): readonly JsonValue[] {
  const value = object[field];
  if (Array.isArray(value)) return value;
  throw damaged(`its ${field} is no list`);
}

function damaged(what: string, cause?: unknown): StateStoreError {
  return new StateStoreError('data_corrupt', `a node's report is damaged: ${what}`, { cause });
}
