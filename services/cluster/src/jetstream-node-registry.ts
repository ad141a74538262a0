// What nodes say of themselves, in a JetStream key-value bucket: one key a node, its last report alone.
import type { NatsConnection } from '@nats-io/nats-core';
import { Bucket, unavailable } from './bucket.ts';
import { BucketWatch } from './bucket-watch.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { readLast } from './last-messages.ts';
import { checkClusterName, checkNodeName, nodeSubject, nodesBucket } from './names.ts';
import { decodeNodeReport, encodeNodeReport } from './node-report-codec.ts';
import type { NodeRegistry, NodeReport, ObservedNode, RegistryWatch } from './node-registry.ts';
import { ObservedNodes } from './observed-nodes.ts';

export interface NodeRegistryOptions {
  /** Copies of the bucket inside NATS, where it is made. */
  readonly replicas: number;
  /** What a watch met and mends by itself: a report that it cannot read, a store that does not answer. */
  readonly onProblem?: (problem: unknown) => void;
  readonly clock?: Clock;
}

/** Does not wait for NATS: each method does, and says so. */
export async function jetStreamNodeRegistry(
  nc: NatsConnection,
  cluster: string,
  options: NodeRegistryOptions,
): Promise<NodeRegistry> {
  checkClusterName(cluster);
  return new JetStreamNodeRegistry(nc, cluster, options);
}

/** Key-value operation that a message is; absent: a value was put. */
const operationHeader = 'KV-Operation';

class JetStreamNodeRegistry implements NodeRegistry {
  readonly #nc: NatsConnection;
  readonly #bucket: Bucket;
  /** The stream under the bucket, and the subjects of its keys. */
  readonly #stream: string;
  readonly #keys: string;
  readonly #cluster: string;
  readonly #clock: Clock;
  readonly #onProblem: (problem: unknown) => void;

  constructor(nc: NatsConnection, cluster: string, options: NodeRegistryOptions) {
    this.#nc = nc;
    this.#cluster = cluster;
    this.#clock = options.clock ?? systemClock;
    this.#onProblem = options.onProblem ?? (() => {});
    const bucket = nodesBucket(cluster);
    this.#stream = `KV_${bucket}`;
    this.#keys = `$KV.${bucket}`;
    const told = { from: `${this.#keys}.>`, to: nodeSubject(cluster, '>') };
    const { replicas } = options;
    this.#bucket = new Bucket(nc, { bucket, replicas, history: 1, directReads: true, told });
  }

  async report(report: NodeReport): Promise<void> {
    const bytes = encodeNodeReport(report);
    try {
      await this.#bucket.once((kv) => kv.put(report.name, bytes));
    } catch (error) {
      throw unavailable(`the report of node ${report.name} could not be stored`, error);
    }
  }

  watch(onNodes: (nodes: ReadonlyMap<string, ObservedNode>) => void): RegistryWatch {
    const nodes = new ObservedNodes(this.#clock, onNodes);
    const watch = new BucketWatch({
      nc: this.#nc,
      subject: nodeSubject(this.#cluster, '*'),
      onStored: ({ subject, data, headers }) => {
        const name = subject.slice(subject.lastIndexOf('.') + 1);
        if (headers?.has(operationHeader) === true) nodes.removed(name);
        else this.#take(data, (report) => nodes.saw(report));
      },
      read: async () => {
        const sinceMs = this.#clock.elapsedMs();
        nodes.sawAll(await this.list(), sinceMs);
      },
      onProblem: this.#onProblem,
    });
    return {
      close: () => {
        nodes.close();
        return watch.close();
      },
    };
  }

  async list(): Promise<readonly NodeReport[]> {
    try {
      return await this.#bucket.repeatable(async () => {
        const reports: NodeReport[] = [];
        await readLast(this.#nc, this.#stream, `${this.#keys}.>`, ({ data, header }) => {
          if (!header.has(operationHeader)) this.#take(data, (report) => reports.push(report));
        });
        return reports;
      });
    } catch (error) {
      throw unavailable('the reports of the nodes cannot be read', error);
    }
  }

  async remove(name: string): Promise<void> {
    checkNodeName(name);
    try {
      await this.#bucket.once((kv) => kv.delete(name));
    } catch (error) {
      throw unavailable(`the report of node ${name} could not be removed`, error);
    }
  }

  /** A report that cannot be read must not hide the others. */
  #take(bytes: Uint8Array, take: (report: NodeReport) => void): void {
    let report: NodeReport;
    try {
      report = decodeNodeReport(bytes);
    } catch (problem) {
      this.#onProblem(problem);
      return;
    }
    take(report);
  }
}
