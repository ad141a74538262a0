// What things of a cluster are called inside NATS: streams, subjects, buckets. Persisted, so stable.
import { StateStoreError } from '@statestore/core';

const clusterName = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;

/** Throws `invalid_settings`. */
export function checkClusterName(name: string): void {
  if (clusterName.test(name)) return;
  throw new StateStoreError(
    'invalid_settings',
    `the cluster name is ${JSON.stringify(name)}; it may be 1 to 32 of a-z, 0-9 and -, not at its ends`,
  );
}

const nodeName = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Throws `invalid_settings`. As a label of RFC 1123: a pod's name is one. */
export function checkNodeName(name: string): void {
  if (nodeName.test(name)) return;
  throw new StateStoreError(
    'invalid_settings',
    `the node name is ${JSON.stringify(name)}; it may be 1 to 63 of a-z, 0-9 and -, not at its ends`,
  );
}

/** The stream that is the log of a partition. */
export function logStream(cluster: string, partition: number, generation: number): string {
  return `statestore_${cluster}_log_${partition}_${generation}`;
}

/** What names one log for ever; the incarnation is in its subjects, so that no other log is ever taken for it. */
export interface LogName {
  readonly generation: number;
  readonly incarnation: string;
}

/** Batches are published here; the stream of this incarnation, and no other, takes them. */
export function logSubject(cluster: string, partition: number, { generation, incarnation }: LogName): string {
  return `statestore.${cluster}.log.${partition}.${generation}.${incarnation}`;
}

/** Core NATS: the stream's leader tells each batch that it stored, to whoever listens. */
export function logDeliverySubject(cluster: string, partition: number, { generation, incarnation }: LogName): string {
  return `statestore.${cluster}.delivery.${partition}.${generation}.${incarnation}`;
}

/** Key-value bucket of the topology document and of what all gateways share. */
export function topologyBucket(cluster: string): string {
  return `statestore_${cluster}_topology`;
}

/** Key-value bucket of what nodes report, a key each. */
export function nodesBucket(cluster: string): string {
  return `statestore_${cluster}_nodes`;
}

/** Key-value bucket of the checkpoint that is asked for or made, and of the newest ones there are. */
export function checkpointsBucket(cluster: string): string {
  return `statestore_${cluster}_checkpoints`;
}

/** Core NATS: the bucket's server tells each state of the run that it stored. */
export function checkpointSubject(cluster: string): string {
  return `statestore.${cluster}.checkpoint`;
}

/** Core NATS: replicas of a partition tell each other their hashes. */
export function proofSubject(cluster: string, partition: number): string {
  return `statestore.${cluster}.proof.${partition}`;
}

/** Core NATS: the bucket's server tells each topology that it stored. */
export function topologySubject(cluster: string): string {
  return `statestore.${cluster}.topology`;
}

/** Core NATS: the bucket's server tells each report that it stored; `*` for those of all nodes. */
export function nodeSubject(cluster: string, node: string): string {
  return `statestore.${cluster}.node.${node}`;
}
