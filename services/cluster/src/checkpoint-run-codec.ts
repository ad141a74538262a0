// The documents of the checkpoints' bucket as JSON text, and back. They are read by versions before and after the one
// that wrote them while a cluster is upgraded: fields that are not known are passed over, and what is read is checked
// as far as somebody relies on it.
import { StateStoreError } from '@statestore/core';
import type { CheckpointCatalog, CheckpointRun } from './checkpoint-runs.ts';

/** Raised where a reader of the one before would be misled. */
export const checkpointRunFormat = 1;

const states: ReadonlySet<unknown> = new Set(['requested', 'running', 'completed', 'failed']);
const triggers: ReadonlySet<unknown> = new Set(['manual', 'schedule', 'shutdown']);

type Json = Readonly<Record<string, unknown>>;

export function encodeRun(run: CheckpointRun): Uint8Array {
  return encode(run);
}

export function encodeCatalog(catalog: CheckpointCatalog): Uint8Array {
  return encode(catalog);
}

/** Throws `data_format` where it is of another format, `data_corrupt` where it is damaged. */
export function decodeRun(bytes: Uint8Array): CheckpointRun {
  const json = decode(bytes, 'run of a checkpoint');
  checkRun(json, 'run of a checkpoint');
  return json as unknown as CheckpointRun;
}

export function decodeCatalog(bytes: Uint8Array): CheckpointCatalog {
  const what = 'catalogue of checkpoints';
  const json = decode(bytes, what);
  const { checkpoints, runs, statistics } = json;
  if (!Array.isArray(checkpoints) || !checkpoints.every((each) => isObject(each) && typeof each['id'] === 'string'))
    throw damaged(what, 'its checkpoints are no list of them');
  if (!Array.isArray(runs) || !runs.every(isObject)) throw damaged(what, 'its runs are no list of them');
  for (const run of runs) checkRun(run, what);
  if (!isObject(statistics) || !['created', 'failed'].every((name) => isCount(statistics[name])))
    throw damaged(what, 'its statistics are none');
  if (json['damaged'] !== undefined && !isListOf(json['damaged'], (each) => isObject(each) && isText(each['why'])))
    throw damaged(what, 'its damaged checkpoints are no list of them');
  const { clearing, provenAtMs } = json;
  if (provenAtMs !== undefined && !isCount(provenAtMs)) throw wrong(json, what, 'provenAtMs');
  if (clearing !== undefined && !(isObject(clearing) && isListOf(clearing['blockedBy'], isText)))
    throw damaged(what, 'what it says of clearing up is nothing');
  const { namesake } = json;
  if (namesake !== undefined && !(isObject(namesake) && isText(namesake['checkpoint'])))
    throw damaged(what, 'what it says of another cluster is nothing');
  if (typeof json['repository'] !== 'string') throw damaged(what, 'its repository is no text');
  return json as unknown as CheckpointCatalog;
}

function checkRun(json: Json, what: string): void {
  for (const field of ['id', 'requestedBy']) if (typeof json[field] !== 'string') throw wrong(json, what, field);
  for (const field of ['requestedAtMs', 'attempt', 'heartbeat'])
    if (!isCount(json[field])) throw wrong(json, what, field);
  for (const field of ['scheduledForMs', 'startedAtMs', 'deadlineMs', 'finishedAtMs'])
    if (json[field] !== undefined && !isCount(json[field])) throw wrong(json, what, field);
  if (!states.has(json['state'])) throw wrong(json, what, 'state');
  if (!triggers.has(json['trigger'])) throw wrong(json, what, 'trigger');
  if (!Array.isArray(json['partitions']) || !json['partitions'].every(isObject)) throw wrong(json, what, 'partitions');
  const { conductor, error, checkpoint } = json;
  if (conductor !== undefined && (!isObject(conductor) || typeof conductor['boot'] !== 'string'))
    throw wrong(json, what, 'conductor');
  if (error !== undefined && (!isObject(error) || typeof error['code'] !== 'string')) throw wrong(json, what, 'error');
  if (checkpoint !== undefined && typeof checkpoint !== 'string') throw wrong(json, what, 'checkpoint');
}

function encode(document: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: checkpointRunFormat, ...document }));
}

function decode(bytes: Uint8Array, what: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw damaged(what, 'it is not JSON', cause);
  }
  if (!isObject(json)) throw damaged(what, 'it is no object');
  const { format, ...document } = json;
  if (format === checkpointRunFormat) return document;
  const found = JSON.stringify(format);
  throw new StateStoreError(
    'data_format',
    `the ${what} has format ${found}; this version knows ${checkpointRunFormat}`,
  );
}

function isObject(json: unknown): json is Json {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function isText(json: unknown): json is string {
  return typeof json === 'string';
}

function isListOf(json: unknown, is: (each: unknown) => boolean): boolean {
  return Array.isArray(json) && json.every(is);
}

function isCount(json: unknown): boolean {
  return typeof json === 'number' && json >= 0;
}

function wrong(json: Json, what: string, field: string): StateStoreError {
  return damaged(what, `its ${field} is ${JSON.stringify(json[field])?.slice(0, 80)}`);
}

function damaged(what: string, why: string, cause?: unknown): StateStoreError {
  return new StateStoreError('data_corrupt', `the ${what} is damaged: ${why}`, { cause });
}
