// What tests of the log over JetStream share: servers for a whole file, and a log of its own for each test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats, jetStreamLogStreams, logStream } from '@statestore/cluster';
import type { LogStreams, NatsConnection } from '@statestore/cluster';
import type { PartitionLog } from '@statestore/core';
import { openJetStreamLog } from '../../services/node/src/log/jetstream-log.ts';
import type { Log } from '../../services/node/src/log/log.ts';
import { startNatsCluster } from '../servers/nats-cluster.ts';
import type { NatsCluster, NatsClusterOptions } from '../servers/nats-cluster.ts';
import type { LogFixture } from './log-collector.ts';

export const cluster = 'test';

export class JetStreamServers {
  readonly nats: NatsCluster;
  readonly connection: NatsConnection;
  readonly streams: LogStreams;
  readonly #directory: string;
  #partitions = 0;

  private constructor(nats: NatsCluster, connection: NatsConnection, directory: string) {
    this.nats = nats;
    this.connection = connection;
    this.streams = jetStreamLogStreams(connection, cluster);
    this.#directory = directory;
  }

  static async start(options: Omit<NatsClusterOptions, 'directory'>): Promise<JetStreamServers> {
    const directory = await mkdtemp(join(tmpdir(), 'statestore-jetstream-'));
    const nats = await startNatsCluster({ ...options, directory });
    const connection = await connectNats({ servers: nats.urls, name: 'test' });
    return new JetStreamServers(nats, connection, directory);
  }

  get replicas(): number {
    return this.nats.servers.length;
  }

  /** A new log, empty. */
  async make(): Promise<MadeLog> {
    const partition = this.#partitions++;
    const log = await this.streams.create({ partition, generation: 1, replicas: this.replicas });
    return new MadeLog(this, partition, log);
  }

  async stop(): Promise<void> {
    await this.connection.close();
    await this.nats.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export class MadeLog implements LogFixture {
  readonly servers: JetStreamServers;
  readonly partition: number;
  readonly log: PartitionLog;

  constructor(servers: JetStreamServers, partition: number, log: PartitionLog) {
    this.servers = servers;
    this.partition = partition;
    this.log = log;
  }

  get stream(): string {
    return logStream(cluster, this.partition, this.log.generation);
  }

  open(connection = this.servers.connection): Promise<Log> {
    return openJetStreamLog({ connection, cluster, partition: this.partition, log: this.log });
  }

  dispose(): Promise<void> {
    return this.servers.streams.remove(this.partition, this.log.generation);
  }
}
