// A node on its own whose logs are archived, in this process: what is written to it, a checkpoint of it, and data folders
// that are restored from its repository.
import type { Repository } from '@statestore/checkpoint';
import type { Command, Operation } from '@statestore/core';
import { slotOf, slotOwners } from '@statestore/core';
import type { EmbeddedArchive, EmbeddedNode, EmbeddedNodeOptions, RestoreMoment } from '@statestore/node';
import { JournalHold, openEmbeddedArchive, openEmbeddedNode, restoreFolder } from '@statestore/node';
import { Registry } from 'prom-client';
import { expect, vi } from 'vitest';
import { CheckpointDesk } from '../../services/node/src/checkpoint/checkpoint-desk.ts';
import { conduct, type Conducted } from '../../services/node/src/checkpoint/conduct.ts';
import { ownReplicas } from '../../services/node/src/checkpoint/replicas.ts';
import { systemTime } from '../../services/node/src/time.ts';

const cluster = 'embedded';
export const journalSegmentBytes = 256 * 1024;

export interface ArchivedNodeOptions extends Partial<EmbeddedNodeOptions> {
  readonly dataPath: string;
  /** Closed by the archive. */
  readonly repository: Repository;
  readonly journalBytesMax?: number;
  readonly intervalMs?: number;
}

export function putOf(key: string, value: string, ttlMs?: number): Command {
  const operation: Operation = {
    kind: 'put',
    key,
    condition: { kind: 'none' },
    value: Buffer.from(value),
    contentType: '',
    ttl: ttlMs === undefined ? { kind: 'default' } : { kind: 'after', ms: ttlMs },
  };
  return { body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] } };
}

export class ArchivedNode {
  readonly embedded: EmbeddedNode;
  readonly archive: EmbeddedArchive;
  readonly hold: JournalHold;
  readonly registry = new Registry();
  readonly notices: string[];
  readonly #repository: Repository;

  /* oxlint-disable-next-line max-params -- what it is made of */
  private constructor(
    embedded: EmbeddedNode,
    hold: JournalHold,
    repository: Repository,
    notices: string[],
    intervalMs = 20,
  ) {
    this.embedded = embedded;
    this.hold = hold;
    this.notices = notices;
    this.#repository = repository;
    this.archive = openEmbeddedArchive({
      node: embedded,
      hold,
      repository,
      cluster,
      intervalMs,
      registry: this.registry,
      onNotice: (notice) => notices.push(notice),
    });
  }

  static async open({
    repository,
    journalBytesMax,
    intervalMs,
    ...options
  }: ArchivedNodeOptions): Promise<ArchivedNode> {
    const hold = new JournalHold(journalBytesMax);
    const notices: string[] = [];
    const embedded = await openEmbeddedNode({
      partitions: 2,
      version: 'test',
      journalSegmentBytes,
      archive: hold,
      onNotice: (notice) => notices.push(notice),
      onHalted: (reason) => expect.fail(`halted: ${reason.message}`),
      ...options,
    });
    return new ArchivedNode(embedded, hold, repository, notices, intervalMs);
  }

  /** k<i>, where it belongs. */
  async fill(from: number, to: number, value = 'value'): Promise<void> {
    const { node, topology } = this.embedded;
    const owners = slotOwners(topology);
    const put = (key: string, i: number): Promise<unknown> =>
      node.propose(owners[slotOf('s', key)]!, putOf(key, `${value} ${i}`));
    for (let at = from; at < to; at += 50) {
      const some = Array.from({ length: Math.min(50, to - at) }, (_, i) => at + i);
      await Promise.all(some.map((i) => put(`k${i}`, i)));
    }
  }

  /** Resolves when everything that was applied is archived. */
  async archived(): Promise<void> {
    const positions = await positionsOf(this.embedded);
    await vi.waitFor(
      () => {
        for (const [partition, position] of positions.entries())
          expect(this.hold.archived(partition)).toBeGreaterThanOrEqual(position);
      },
      { timeout: 20_000, interval: 10 },
    );
  }

  checkpoint(): Promise<Conducted> {
    const { node, topology } = this.embedded;
    node.checkpoints = new CheckpointDesk({ repository: this.#repository, cluster, time: systemTime });
    return conduct({
      repository: this.#repository,
      cluster,
      node: cluster,
      version: '0',
      replicas: ownReplicas(cluster, topology, node),
      time: systemTime,
      trigger: 'manual',
      level: 1,
      deadlineMs: 30_000,
      onBegun: () => Promise.resolve(),
      onProgress: () => undefined,
      signal: new AbortController().signal,
    });
  }

  async metric(name: string, partition: number): Promise<number | undefined> {
    const line = new RegExp(`^${name}\\{partition="${partition}"\\} (.*)$`, 'm');
    const found = line.exec(await this.registry.metrics())?.[1];
    return found === undefined ? undefined : Number(found);
  }

  async close(): Promise<void> {
    await this.archive.close();
    await this.embedded.close();
  }
}

export async function positionsOf({ node }: EmbeddedNode): Promise<bigint[]> {
  return (await node.status()).partitions.map(({ appliedPosition }) => appliedPosition);
}

/** Chain and hash of each partition. */
export async function hashesOf({ node }: EmbeddedNode): Promise<string[]> {
  const { partitions } = await node.status();
  return partitions.map(({ chain, stateHash, appliedPosition }) => `${appliedPosition} ${chain} ${stateHash}`);
}

export async function keysOf({ node, topology }: EmbeddedNode): Promise<string[]> {
  const scan = { store: 's', reverse: false, limit: 100_000, bytesMax: 1e9, values: true };
  const keys: string[] = [];
  for (const { partition } of topology.partitions) {
    const { entries } = await node.scan(partition, scan, { consistency: 'strong' });
    keys.push(...entries.map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`));
  }
  return keys.toSorted();
}

export interface RestoreWanted {
  readonly dataPath: string;
  readonly source: Repository;
  readonly moment?: RestoreMoment;
  readonly partitions?: number;
}

/** Resolves with the node that was opened on the folder, archived by nobody. */
export async function restoredNode(wanted: RestoreWanted): Promise<EmbeddedNode> {
  const { dataPath, moment = { kind: 'newest' } } = wanted;
  await restoreFolder({ ...wanted, moment, signal: new AbortController().signal });
  return openEmbeddedNode({ dataPath, version: 'test', onHalted: (reason) => expect.fail(reason.message) });
}
