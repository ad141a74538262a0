// Settings of the commands that place the partitions of a new cluster: on how many nodes, and how long those are waited for.
import type { Setting } from '../settings.ts';
import { wholeNumber } from '../settings.ts';
import { seconds } from './coordinate.ts';

const replicasMax = 9;

export const placingSettings = {
  replicas: {
    schema: wholeNumber(1, replicasMax).default(3),
    allowed: `1 to ${replicasMax}; not more than there are nodes`,
    help: 'replicas of each partition, on nodes',
    fallback: '3',
  } satisfies Setting<number>,
  waitNodes: {
    schema: wholeNumber(1, 1000).optional(),
    allowed: '1 to 1000',
    help: 'wait for this many nodes before the partitions are placed',
    fallback: 'as many as replicas',
  } satisfies Setting<number | undefined>,
  timeout: seconds(300, 'how long to wait for nodes and NATS'),
};
