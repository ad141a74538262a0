// A cluster of links that answer what a test says, when it says so.
import type { NodeReport, ObservedNode, ReplicaReport } from '@statestore/cluster';
import { evenTopology, StateStoreError, type ErrorCode, type Topology } from '@statestore/core';
import type { NodeService } from '@statestore/link';
import { ClusterDirectory, type ClusterDirectoryOptions } from '../directory.ts';
import type { NodeLink } from '../member.ts';
import { ManualTime, settle } from './manual-time.ts';

/** One call that waits for the test's answer. */
export interface Asked {
  readonly node: string;
  readonly method: string;
  readonly args: readonly unknown[];
  readonly answer: (value: unknown) => void;
  readonly fail: (code: ErrorCode) => void;
}

export class FakeLink {
  openConnections = 2;
  silentMs = 0;
  closed = false;
  inFlight = 0;
  readonly address: string;
  readonly onChange: () => void;
  /** What takes its calls as a node would, instead of the test. */
  behind: Partial<NodeService> = {};

  constructor(address: string, onChange: () => void) {
    this.address = address;
    this.onChange = onChange;
  }

  connect(open: boolean): void {
    this.openConnections = open ? 2 : 0;
    this.onChange();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.openConnections = 0;
  }
}

export function fails(code: ErrorCode): StateStoreError {
  return new StateStoreError(code, `the test says ${code}`);
}

export class FakeLinks {
  readonly time = new ManualTime();
  readonly links: FakeLink[] = [];
  /** Calls that wait, the oldest first. */
  readonly asked: Asked[] = [];
  readonly directory: ClusterDirectory;
  readonly #nodes = new Map<string, ObservedNode>();

  constructor(nodes: readonly string[], options: Partial<ClusterDirectoryOptions> = {}, partitions = 1) {
    this.directory = new ClusterDirectory({
      time: this.time,
      connect: (address, onChange) => this.#connect(address, onChange),
      ...options,
    });
    this.place(evenTopology(partitions, nodes));
    for (const name of nodes) this.#nodes.set(name, { report: report(name, partitions), live: true, confirmed: true });
    this.directory.updateNodes(new Map(this.#nodes));
  }

  place(topology: Topology): void {
    this.directory.updateTopology(topology);
  }

  observe(name: string, change: Partial<NodeReport>, live = true): void {
    const before = this.#nodes.get(name)?.report ?? report(name, 1);
    this.#nodes.set(name, { report: { ...before, ...change }, live, confirmed: true });
    this.directory.updateNodes(new Map(this.#nodes));
  }

  forget(name: string): void {
    this.#nodes.delete(name);
    this.directory.updateNodes(new Map(this.#nodes));
  }

  /** The newest link to a node. */
  link(name: string): FakeLink {
    return this.links.findLast(({ address }) => address.startsWith(`${name}:`))!;
  }

  /** Takes the oldest call that waits for one of these nodes, once everything had its way. */
  async take(...nodes: readonly string[]): Promise<Asked> {
    await settle();
    const at = this.asked.findIndex(({ node }) => nodes.length === 0 || nodes.includes(node));
    if (at === -1) throw new Error(`nobody asks ${nodes.join(' or ')}; ${this.asking() || 'nobody at all'} is asked`);
    return this.asked.splice(at, 1)[0]!;
  }

  /** Nodes of the calls that wait. */
  asking(): string {
    return this.asked.map(({ node }) => node).join(' ');
  }

  #connect(address: string, onChange: () => void): NodeLink {
    const link = new FakeLink(address, onChange);
    this.links.push(link);
    const node = address.slice(0, address.indexOf(':'));
    return new Proxy(link, {
      get: (target, name) => {
        const own: unknown = Reflect.get(target, name);
        if (own !== undefined) return typeof own === 'function' ? (own as () => void).bind(target) : own;
        const behind: unknown = Reflect.get(target.behind, name);
        if (behind !== undefined) return behind;
        return (...args: readonly unknown[]) => this.#ask(target, node, String(name), args);
      },
    }) as unknown as NodeLink;
  }

  #ask(link: FakeLink, node: string, method: string, args: readonly unknown[]): Promise<unknown> {
    if (link.openConnections === 0) return Promise.reject(fails('unavailable'));
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    link.inFlight++;
    promise.catch(() => undefined).finally(() => link.inFlight--);
    this.asked.push({ node, method, args, answer: resolve, fail: (code) => reject(fails(code)) });
    return promise;
  }
}

export function replicaReport(partition: number, more: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    partition,
    state: 'running',
    reason: '',
    incarnation: '',
    appliedPosition: '0',
    storedPosition: '0',
    lag: 0,
    chain: '',
    stateHash: '',
    entries: 0,
    bytes: 0,
    ...more,
  };
}

function report(name: string, partitions: number): NodeReport {
  return {
    name,
    address: `${name}:1`,
    zone: '',
    version: '0.0.0',
    boot: `boot of ${name}`,
    count: 1,
    epoch: '1',
    draining: false,
    disk: { freeBytes: 1e9, totalBytes: 2e9 },
    replicas: Array.from({ length: partitions }, (_, partition) => replicaReport(partition)),
  };
}
