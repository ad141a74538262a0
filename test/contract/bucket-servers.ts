// One nats-server, then three, for the tests of what is kept in key-value buckets: started once, each test
// with clusters and connections of its own. What is tried with them is the file's that asks for them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats } from '@statestore/cluster';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import type { NatsCluster } from '../servers/nats-cluster.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';

const startMs = 120_000;

export interface BucketServers {
  /** How many there are, and so how many replicas a bucket has. */
  readonly servers: 1 | 3;
  readonly nats: NatsCluster;
  /** Closed after the test. */
  connection(): Promise<NatsConnection>;
  /** A name that no test had before. */
  newCluster(): string;
}

/** @param name of the connections, and in that of the folder. */
export function withBucketServers(name: string, tests: (these: BucketServers) => void): void {
  for (const servers of [1, 3] as const) {
    describe(`with ${servers} nats-server(s)`, () => {
      let directory: string;
      let nats: NatsCluster;
      let clusters = 0;
      const connections: NatsConnection[] = [];

      beforeAll(async () => {
        directory = await mkdtemp(join(tmpdir(), `statestore-${name}-`));
        nats = await startNatsCluster({ directory, servers });
      }, startMs);
      afterAll(async () => {
        await nats?.stop();
        await rm(directory, { recursive: true, force: true });
      });
      afterEach(async () => {
        await Promise.all(connections.splice(0).map((connection) => connection.close()));
      });

      tests({
        servers,
        get nats() {
          return nats;
        },
        async connection() {
          const made = await connectNats({ servers: nats.urls, name: `${name} test` });
          connections.push(made);
          return made;
        },
        newCluster: () => `c${clusters++}`,
      });
    });
  }
}
