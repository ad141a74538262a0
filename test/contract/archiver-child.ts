// A process for tests to kill: appends to an embedded log for ever, and archives it.
//   archiver-child.ts DIRECTORY     prints `position` of each acknowledged append
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { openRepository } from '@statestore/checkpoint';
import { Archiver } from '../../services/node/src/checkpoint/archiver.ts';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import { systemTime } from '../../services/node/src/time.ts';

const [directory = ''] = process.argv.slice(2);
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const log = await openEmbeddedLog({ directory: join(directory, 'log'), partition: 0, now });
const repository = await openRepository({ type: 'folder', path: join(directory, 'repository'), concurrency: 4 });
const { incarnation } = log;
const identity = { cluster: 'c', partition: 0, generation: 1, incarnation };
const options = { repository, log: identity, source: log, point: () => undefined, time: systemTime };
// Two at once, so that some of their segments are the same.
for (const intervalMs of [1, 3]) void new Archiver({ ...options, intervalMs, segmentBytes: 2000 });
for (let number = 0; ; number++) {
  const outcome = await log.append(Uint8Array.from({ length: number % 400 }, (_, i) => i & 0xff));
  if (outcome.kind !== 'appended') throw new Error(JSON.stringify(outcome));
  writeSync(1, `${outcome.position}\n`);
}
