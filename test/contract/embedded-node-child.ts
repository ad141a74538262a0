// A process that writes into a data folder as fast as it can and prints what was acknowledged, until it is
// killed. Arguments: folder, engine.
import type { EngineKind } from '@statestore/node';
import { openEmbeddedNode } from '@statestore/node';

const [, , dataPath, engine] = process.argv;

const embedded = await openEmbeddedNode({
  dataPath: dataPath!,
  engine: engine as EngineKind,
  partitions: 2,
  version: 'test',
  onHalted: (reason) => {
    throw reason;
  },
}).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

let next = 0;

async function writer(): Promise<void> {
  for (;;) {
    const i = next++;
    const operation = {
      kind: 'put',
      key: `k${i}`,
      condition: { kind: 'none' },
      value: Buffer.alloc(100, i),
      contentType: '',
      ttl: { kind: 'default' },
    } as const;
    await embedded.node.propose(i % 2, {
      body: { kind: 'mutate', store: 's', atomic: false, checks: [], operations: [operation] },
    });
    process.stdout.write(`${i}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, () => writer()));
