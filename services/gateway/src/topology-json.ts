// The topology as people are shown it: which slots are whose, and what is known of the nodes of a cluster.
// Positions and epochs are decimal text: they have 64 bits.
import type { Topology } from '@statestore/core';
import { Type } from 'typebox';
import type { NodeDescription } from './options.ts';
import { count, wordOf } from './schemas.ts';

const log = Type.Object({
  generation: Type.Integer({ minimum: 1 }),
  incarnation: Type.String(),
  continues: Type.Optional(
    Type.Object(
      { incarnation: Type.String(), position: Type.String(), chain: Type.String() },
      {
        description: 'The log that was lost, and how far it was carried over.',
      },
    ),
  ),
});

const node = Type.Object({
  name: Type.String(),
  address: Type.String(),
  zone: Type.String({ description: 'Failure domain; empty: none was given.' }),
  version: Type.String(),
  live: Type.Boolean({ description: 'Whether it reported a short time ago.' }),
  connected: Type.Boolean({ description: 'Whether this gateway is connected with it.' }),
  draining: Type.Boolean({ description: 'Whether it is to give its replicas away.' }),
  replicas: Type.Array(
    Type.Object({
      partition: count,
      state: wordOf(['starting', 'copying', 'running', 'halted', 'stopped']),
      haltCause: Type.Optional(Type.String()),
      reason: Type.String(),
      appliedPosition: Type.String(),
      storedPosition: Type.String(),
      lag: Type.Integer({ minimum: 0, description: 'Batches of the log that are not applied yet.' }),
    }),
  ),
});

export const topologyAnswer = Type.Object({
  epoch: Type.String(),
  partitions: Type.Array(
    Type.Object({
      partition: count,
      slots: Type.Array(Type.Object({ start: count, end: Type.Integer({ description: 'Exclusive.' }) })),
      replicas: Type.Array(Type.String(), { description: 'Nodes; the first one is preferred.' }),
      joining: Type.Array(Type.String(), { description: 'Nodes that build a replica and do not serve it yet.' }),
      log: Type.Optional(log),
    }),
  ),
  nodes: Type.Array(node, { description: 'As they last reported. Empty where there is one node and no cluster.' }),
});

export function topologyJson({ epoch, partitions }: Topology, nodes: readonly NodeDescription[]): object {
  return {
    epoch: String(epoch),
    partitions: partitions.map(({ partition, slots, replicas, joining = [], log: its }) => ({
      partition,
      slots,
      replicas,
      joining,
      ...(its === undefined ? {} : { log: logJson(its) }),
    })),
    nodes: nodes.map(({ replicas, reshapes: _reshapes, ...rest }) => ({
      ...rest,
      replicas: replicas.map(replicaJson),
    })),
  };
}

function logJson({ generation, incarnation, continues }: NonNullable<Topology['partitions'][number]['log']>): object {
  if (continues === undefined) return { generation, incarnation };
  return { generation, incarnation, continues: { ...continues, position: String(continues.position) } };
}

function replicaJson(replica: NodeDescription['replicas'][number]): object {
  const { partition, state, haltCause, reason, appliedPosition, storedPosition, lag } = replica;
  const cause = haltCause === undefined ? {} : { haltCause };
  return { partition, state, ...cause, reason, appliedPosition, storedPosition, lag };
}
