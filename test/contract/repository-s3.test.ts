// A repository in a real S3 server keeps the contract: as it is, and where requests fail in every way now and then.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRepository } from '@statestore/checkpoint';
import { afterAll, beforeAll, expect } from 'vitest';
import { S3Repository } from '../../services/checkpoint/src/s3-repository.ts';
import type { S3Settings } from '../../services/checkpoint/src/s3-settings.ts';
import { S3Proxy } from '../servers/s3-proxy.ts';
import { S3Server } from '../servers/s3-server.ts';
import { repositoryContract } from './repository-contract.ts';
import { everyFault, s3Settings } from './s3-fixture.ts';

let folder: string;
let server: S3Server;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statestore-s3-'));
  server = await S3Server.start('versitygw', folder, ['checkpoints']);
});
afterAll(async () => {
  await server.kill();
  await rm(folder, { recursive: true });
});

repositoryContract(
  'versitygw',
  async () => {
    const prefix = `cluster/${randomUUID()}`;
    return {
      open: () => openRepository(s3Settings(server.url, { repositoryPrefix: prefix })),
      close: () => Promise.resolve(),
    };
  },
  { manyObjects: 2100 },
);

repositoryContract(
  'versitygw where requests fail',
  async () => {
    const proxy = await S3Proxy.start(server.port);
    proxy.add(...everyFault());
    const prefix = randomUUID();
    return {
      async open() {
        const settings = s3Settings(proxy.url, { repositoryPrefix: prefix, repositoryAttempts: '20' });
        // No pauses between attempts.
        return new S3Repository(settings as S3Settings, { random: () => 0 });
      },
      async close() {
        const [met, wanted] = [proxy.seen.map(({ fault }) => fault), everyFault().map(({ fault }) => fault.kind)];
        expect(new Set(met)).toEqual(new Set([undefined, ...wanted]));
        await proxy.close();
      },
    };
  },
  { manyObjects: 1100, losesAnswers: true },
);
