// What the routing in a cluster counts, and how it is exported. Requests add to plain numbers; prom-client
// asks for them when somebody scrapes.
import type { ErrorCode } from '@statestore/core';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RequestKind } from './rules.ts';

const kinds = ['read', 'write'] as const satisfies readonly RequestKind[];

/** `stuck`: the node was silent, or others had overtaken it. `slow`: it talked, and did not answer. */
export type HedgeReason = 'stuck' | 'slow';

/** How this gateway is connected with a node. */
export interface NodeConnection {
  readonly name: string;
  readonly live: boolean;
  readonly openConnections: number;
  readonly silentMs: number;
  readonly inFlight: number;
}

const failoverBoundsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10];

export class ClusterMetrics {
  /** Rounds over all replicas that failed and were begun anew after a pause. */
  readonly rounds: Record<RequestKind, number> = { read: 0, write: 0 };
  readonly hedges: Record<RequestKind, Record<HedgeReason, number>> = {
    read: { stuck: 0, slow: 0 },
    write: { stuck: 0, slow: 0 },
  };
  /** Requests answered by another replica than the one that was asked first. */
  readonly failovers: Record<RequestKind, number> = { read: 0, write: 0 };
  watchesMoved = 0;
  /** Attempts that were answered. */
  readonly ok: Record<RequestKind, number> = { read: 0, write: 0 };
  readonly #failed: Readonly<Record<RequestKind, Map<ErrorCode, number>>> = {
    read: new Map(),
    write: new Map(),
  };
  #failoverSeconds: Histogram<'kind'> | undefined;

  /** An attempt was refused, or came to nothing. */
  failed(kind: RequestKind, code: ErrorCode): void {
    const counts = this.#failed[kind];
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }

  /** `tookMs`: from the first attempt to the answer. */
  failedOver(kind: RequestKind, tookMs: number): void {
    this.failovers[kind]++;
    this.#failoverSeconds?.observe({ kind }, tookMs / 1000);
  }

  export(registry: Registry, nodes: () => readonly NodeConnection[], waiting: () => number): void {
    const registers = [registry];
    this.#failoverSeconds = new Histogram({
      name: 'state_gateway_failover_duration_seconds',
      help: 'Time to the answer of requests that another replica answered than the one asked first',
      labelNames: ['kind'],
      buckets: failoverBoundsSeconds,
      registers,
    });
    for (const kind of kinds) this.#failoverSeconds.zero({ kind });
    const { ok } = this;
    const failed = this.#failed;
    new Counter({
      name: 'state_gateway_attempts_total',
      help: 'What was asked of replicas, by outcome: ok, or the code of the error',
      labelNames: ['kind', 'outcome'],
      registers,
      collect() {
        this.reset();
        for (const kind of kinds) {
          this.inc({ kind, outcome: 'ok' }, ok[kind]);
          for (const [outcome, count] of failed[kind]) this.inc({ kind, outcome }, count);
        }
      },
    });
    const { failovers, rounds, hedges } = this;
    for (const [name, help, counts] of [
      ['state_gateway_failovers_total', 'Requests answered by another replica than the one asked first', failovers],
      ['state_gateway_retry_rounds_total', 'Pauses after which all replicas were asked again', rounds],
    ] as const) {
      new Counter({
        name,
        help,
        labelNames: ['kind'],
        registers,
        collect() {
          this.reset();
          for (const kind of kinds) this.inc({ kind }, counts[kind]);
        },
      });
    }
    new Counter({
      name: 'state_gateway_hedges_total',
      help: 'Requests asked of another replica while the first one still owed its answer',
      labelNames: ['kind', 'reason'],
      registers,
      collect() {
        this.reset();
        for (const kind of kinds) {
          for (const reason of ['stuck', 'slow'] as const) this.inc({ kind, reason }, hedges[kind][reason]);
        }
      },
    });
    const moved = (): number => this.watchesMoved;
    new Counter({
      name: 'state_gateway_watches_moved_total',
      help: 'Watches that went on at another replica',
      registers,
      collect() {
        this.reset();
        this.inc(moved());
      },
    });
    new Gauge({
      name: 'state_gateway_waiting_requests',
      help: 'Requests that wait for an answer of a node',
      registers,
      collect() {
        this.set(waiting());
      },
    });
    for (const { name, help, value } of nodeGauges) {
      new Gauge({
        name,
        help,
        labelNames: ['node'],
        registers,
        collect() {
          this.reset();
          for (const node of nodes()) this.set({ node: node.name }, value(node));
        },
      });
    }
  }
}

const nodeGauges: readonly { name: string; help: string; value: (node: NodeConnection) => number }[] = [
  {
    name: 'state_gateway_node_connections',
    help: 'Open connections to the node; 0: none of its replicas can be asked',
    value: ({ openConnections }) => openConnections,
  },
  {
    name: 'state_gateway_node_live',
    help: '1 where the node reported to the registry a short time ago',
    value: ({ live }) => (live ? 1 : 0),
  },
  {
    name: 'state_gateway_node_silent_seconds',
    help: 'How long the node has sent nothing on a connection, though pinged',
    value: ({ silentMs }) => silentMs / 1000,
  },
  {
    name: 'state_gateway_node_in_flight',
    help: 'Requests and watches that the node owes an answer',
    value: ({ inFlight }) => inFlight,
  },
];
