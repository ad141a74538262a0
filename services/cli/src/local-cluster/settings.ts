// The settings of `npm run cluster`.
import { checkClusterName } from '@statestore/cluster';
import { limits } from '@statestore/core';
import { z } from 'zod';
import { accepted } from '../cluster-settings.ts';
import { diskSettings } from '../config.ts';
import type { Setting } from '../settings.ts';
import { wholeNumber } from '../settings.ts';

const processesMax = 9;

function count(help: string, min: number, max: number, fallback: number): Setting<number> {
  return {
    schema: wholeNumber(min, max).default(fallback),
    allowed: `${min} to ${max}`,
    help,
    fallback: String(fallback),
  };
}

export const localClusterSettings = {
  folder: {
    schema: z.string().min(1).default('./data/cluster'),
    allowed: 'a folder that this process can write to; made where it is absent',
    help: 'data and logs of all processes; one that has data goes on with it',
    fallback: './data/cluster',
  } satisfies Setting<string>,
  cluster: {
    schema: accepted(checkClusterName).default('demo'),
    allowed: '1 to 32 of a-z, 0-9 and -, not at its ends',
    help: 'the name of the cluster',
    fallback: 'demo',
  } satisfies Setting<string>,
  port: {
    schema: wholeNumber(1, 65_535).default(8080),
    allowed: '1 to 65535',
    help: 'port of the first gateway; all others are free ones',
    fallback: '8080',
  } satisfies Setting<number>,
  natsServers: {
    schema: z
      .enum(['1', '3'])
      .default('3')
      .transform((text): 1 | 3 => (text === '1' ? 1 : 3)),
    allowed: '1, 3; as when the data was made',
    help: 'number of NATS servers',
    fallback: '3',
  } satisfies Setting<1 | 3>,
  nodes: count('number of nodes', 1, processesMax, 3),
  gateways: count('number of gateways', 1, processesMax, 1),
  partitions: count('partitions of a new cluster', 1, limits.embeddedPartitionsMax, 4),
  replicas: {
    schema: wholeNumber(1, processesMax).optional(),
    allowed: `1 to ${processesMax}; at most the number of nodes`,
    help: 'replicas of each partition of a new cluster',
    fallback: '3, or as many as there are nodes',
  } satisfies Setting<number | undefined>,
  engine: {
    schema: z.enum(['lmdb', 'memory']).default('lmdb'),
    allowed: 'lmdb, memory',
    help: 'where partitions keep their entries',
    fallback: 'lmdb',
  } satisfies Setting<'lmdb' | 'memory'>,
  ...diskSettings,
};
