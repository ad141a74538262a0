// Real nats-servers with JetStream on loopback: one alone (R1), or three as a cluster (R3), synced always.
//
//   const nats = await startNatsCluster({ directory, servers: 3 });
//   … connectNats({ servers: nats.urls, name: 'test' }) …
//   await (await nats.waitForLeader(stream)).kill();
//   await nats.stop();
//
// Payloads up to 8 MiB: a batch may be one command of 4 MiB and more, and nats-server advises against
// more than 8. The folder stays its caller's to remove.
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from './free-ports.ts';
import { NatsServer } from './nats-server.ts';

export type { NatsServer } from './nats-server.ts';

export interface NatsClusterOptions {
  /** Each server has a folder of its name in it. */
  readonly directory: string;
  readonly servers: 1 | 3;
  readonly payloadBytesMax?: number;
  readonly fileBytesMax?: number;
  readonly bufferedMessagesMax?: number;
}

const readyTimeoutMs = 60_000;
const pollMs = 50;

interface StreamDetail {
  readonly name: string;
  readonly cluster?: { readonly leader?: string };
}

interface JetStreamStatus {
  readonly meta_cluster?: { readonly leader?: string };
  readonly account_details?: readonly { readonly stream_detail?: readonly StreamDetail[] }[];
}

export class NatsCluster {
  readonly servers: readonly NatsServer[];

  constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  server(name: string): NatsServer {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`there is no server ${name}`);
    return found;
  }

  async start(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.start()));
    await this.ready();
  }

  /** Resolves when every server that runs is healthy and there is a leader of JetStream's metadata. */
  async ready(): Promise<void> {
    await this.#until('healthy', async () => {
      const asked = this.servers.filter(({ isRunning, isPaused }) => isRunning && !isPaused);
      const healthy = await Promise.all(asked.map((server) => server.monitor('/healthz')));
      return healthy.every((answer) => answer !== undefined) && (await this.metaLeader()) !== undefined;
    });
  }

  /** Who leads JetStream's metadata, as the one says who does. */
  metaLeader(): Promise<NatsServer | undefined> {
    return this.#whoLeads('/jsz', ({ meta_cluster }) => meta_cluster?.leader);
  }

  /** Who leads the stream, as the one says who does: a server that is frozen or was deposed is not asked. */
  streamLeader(stream: string): Promise<NatsServer | undefined> {
    return this.#whoLeads('/jsz?streams=true&limit=10000', ({ account_details = [] }) => {
      const details = account_details.flatMap(({ stream_detail = [] }) => stream_detail);
      return details.find(({ name }) => name === stream)?.cluster?.leader;
    });
  }

  /** As `streamLeader`; waits until there is one. */
  async waitForLeader(stream: string): Promise<NatsServer> {
    let leader: NatsServer | undefined;
    await this.#until(`a leader of ${stream}`, async () => {
      leader = await this.streamLeader(stream);
      return leader !== undefined;
    });
    return leader!;
  }

  /** Ends all of them, also those that are frozen. */
  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  async #whoLeads(
    path: string,
    leaderOf: (status: JetStreamStatus) => string | undefined,
  ): Promise<NatsServer | undefined> {
    const answers = await Promise.all(
      this.servers.map(async (server) => {
        const status = (await server.monitor(path)) as JetStreamStatus | undefined;
        if (status === undefined) return false;
        // A server on its own leads everything it has.
        return this.servers.length === 1 || leaderOf(status) === server.name;
      }),
    );
    return this.servers.find((_, i) => answers[i]);
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + readyTimeoutMs;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs) {
        const logs = this.servers.map((server) => `${server.name}:\n${server.logTail()}`).join('\n');
        throw new Error(`the nats-servers are not ${what} after ${readyTimeoutMs} ms\n${logs}`);
      }
      await sleep(pollMs);
    }
  }
}

export async function startNatsCluster(options: NatsClusterOptions): Promise<NatsCluster> {
  const { directory, servers: count, ...settings } = options;
  const ports = await freePorts(count * 3);
  const places = Array.from({ length: count }, (_, i) => ({
    name: `nats-${i + 1}`,
    port: ports[i * 3]!,
    monitorPort: ports[i * 3 + 1]!,
    routePort: ports[i * 3 + 2]!,
  }));
  const routes = places.map(({ routePort }) => `127.0.0.1:${routePort}`);
  const servers = places.map(({ name, port, monitorPort, routePort }) => {
    const cluster = count === 1 ? {} : { cluster: { name: 'test', port: routePort, routes } };
    const common = { name, host: '127.0.0.1', port, monitorPort, syncInterval: 'always' };
    return new NatsServer({ ...settings, ...common, ...cluster }, directory);
  });
  const cluster = new NatsCluster(servers);
  try {
    await cluster.start();
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}
