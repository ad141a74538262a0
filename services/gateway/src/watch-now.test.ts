// Where a watch without a cursor begins: a position of another log than the one that the topology names is none.
import { evenTopology } from '@statestore/core';
import type { ChangeBatch, FoundMany, NodeStatus, WatchOptions } from '@statestore/link';
import { expect, test } from 'vitest';
import { FakeNode } from './testing/fake-node.ts';
import { startGateway } from './testing/start.ts';

class NodeOfALog extends FakeNode {
  readonly incarnation: string;
  readonly watched: WatchOptions[] = [];

  constructor(incarnation: string) {
    super(1);
    this.incarnation = incarnation;
  }

  override getMany(): FoundMany {
    return { entries: [], position: 5n, generation: 2 };
  }

  override status(): NodeStatus {
    const { partitions, ...status } = super.status();
    const of = { incarnation: this.incarnation, appliedPosition: 41n };
    return { ...status, partitions: partitions.map((partition) => ({ ...partition, ...of })) };
  }

  override async *watch(_partition: number, options: WatchOptions): AsyncIterable<ChangeBatch> {
    this.watched.push(options);
    await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve()));
    yield* [];
  }
}

test.each([
  ['the log that the topology names', 'log 2', 42n],
  ['the log before it', 'log 1', 6n],
])('a replica of %s', async (_, incarnation, from) => {
  const node = new NodeOfALog(incarnation);
  const even = evenTopology(1, ['a']);
  const log = { generation: 2, incarnation: 'log 2', continues: { incarnation: 'log 1', position: 3n, chain: '' } };
  const topology = { ...even, partitions: even.partitions.map((placement) => ({ ...placement, log })) };
  const { gateway, baseUrl } = await startGateway({ node, topology }, 1);
  const gone = new AbortController();
  try {
    const answer = await fetch(`${baseUrl}/v1/stores/s/watch`, { signal: gone.signal });
    expect(answer.status).toBe(200);
    expect(node.watched.map((options) => [options.from, options.generation])).toContainEqual([from, 2]);
    expect(new Set(node.watched.map((options) => options.from)).size).toBe(1);
  } finally {
    gone.abort();
    await gateway.close();
  }
});
