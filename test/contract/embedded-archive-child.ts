// A process for tests to kill: a node on its own that is written to for ever, and archives its logs.
//   embedded-archive-child.ts DIRECTORY ENGINE     prints a line for each acknowledged write
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRepository } from '@statestore/checkpoint';
import type { EngineKind } from '@statestore/node';
import { ArchivedNode, putOf } from './embedded-archive-fixture.ts';
import { withCreate } from './repository-with-create.ts';

const [directory = '', engine = 'lmdb'] = process.argv.slice(2);
const folder = await openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });
// Slower than the journal could be trimmed.
const repository = withCreate(folder, async (name, bytes, call) => {
  await sleep(250);
  return folder.create(name, bytes, call);
});
const { embedded } = await ArchivedNode.open({
  dataPath: join(directory, 'data'),
  repository,
  engine: engine as EngineKind,
  snapshotLogBytes: 512 * 1024,
});
let next = 0;

async function writer(name: number): Promise<void> {
  for (;;) {
    const i = next++;
    await embedded.node.propose(i % 2, putOf(`${name}-${i % 500}`, 'x'.repeat(900 + (i % 200))));
    writeSync(1, `${i}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, (_, name) => writer(name)));
