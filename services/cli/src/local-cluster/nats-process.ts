// The nats-servers of a local cluster.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { natsServerConfig } from '@statestore/cluster';
import { tool } from '../../../../scripts/tools.mjs';
import type { ProcessSpec } from './managed.ts';
import type { Place } from './place.ts';
import { speaksFirst } from './probe.ts';

export interface NatsMember {
  readonly name: string;
  readonly place: Place;
  readonly dataPath: string;
  readonly logPath: string;
  readonly clockShiftMs: number | undefined;
}

export interface NatsOptions {
  readonly cluster: string;
  readonly syncInterval: string;
}

/** The same server, built with a wall clock that can be told to be off. */
const shiftedServer = 'nats-server-shifted-clock';

type NatsProcess = Omit<ProcessSpec, 'restart' | 'onEvent'> & { readonly place: Place };

/** All of them at once: each has the routes of the others in its configuration. */
export async function natsProcesses(members: readonly NatsMember[], options: NatsOptions): Promise<NatsProcess[]> {
  const ports = await Promise.all(
    members.map(async ({ place }) => ({
      client: await place.port(4222),
      route: await place.port(6222),
      monitor: await place.port(8222),
    })),
  );
  const routes = members.map(({ place }, i) => `${place.host}:${ports[i]?.route}`);
  return Promise.all(
    members.map(async ({ name, place, dataPath, logPath, clockShiftMs }, i) => {
      const { client, route, monitor } = ports[i] ?? { client: 0, route: 0, monitor: 0 };
      const config = join(dataPath, '..', `${name}.conf`);
      const server = {
        name,
        host: place.host,
        port: client,
        monitorPort: monitor,
        storePath: dataPath,
        syncInterval: options.syncInterval,
      };
      const cluster = { name: options.cluster, port: route, routes };
      await writeFile(config, natsServerConfig(members.length === 1 ? server : { ...server, cluster }));
      return {
        name,
        kind: 'nats' as const,
        place,
        url: `nats://${place.host}:${client}`,
        metricsUrl: `http://${place.host}:${monitor}`,
        logPath,
        dataPath,
        command: place.wrap([
          clockShiftMs === undefined ? tool('nats-server') : tool(shiftedServer),
          '--config',
          config,
        ]),
        env:
          clockShiftMs === undefined
            ? process.env
            : { ...process.env, CLOCK_SHIFT_SECONDS: `${Math.round(clockShiftMs / 1000)}` },
        isUp: () => speaksFirst(place.host, client),
      };
    }),
  );
}
