// The embedded log against the contract of every log.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import { logContract } from './log-contract.ts';

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

for (const segmentBytes of [64 * 1024, 4 * 1024 * 1024]) {
  logContract(`embedded, segments of ${segmentBytes / 1024} KiB`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'statestore-log-'));
    return {
      open: () => openEmbeddedLog({ directory, partition: 3, now, segmentBytes }),
      dispose: () => rm(directory, { recursive: true, force: true }),
    };
  });
}
