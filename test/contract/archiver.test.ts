// The archiver with the embedded log and with JetStream.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { openEmbeddedLog } from '../../services/node/src/log/embedded-log.ts';
import { archiverContract } from './archiver-contract.ts';
import { JetStreamServers } from './jetstream-fixture.ts';

archiverContract('the embedded log', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'statestore-archived-log-'));
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  return {
    open: () => openEmbeddedLog({ directory, partition: 0, now }),
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
});

describe('over NATS', () => {
  let running: JetStreamServers;
  beforeAll(async () => {
    running = await JetStreamServers.start({ servers: 1 });
  });
  afterAll(() => running.stop());
  archiverContract('JetStream', () => running.make());
});
