// `statestore rebalance`, `drain`, `undrain`, `forget`, `add`, `remove`: which nodes hold replicas. The wish is written into
// the topology, and then carried out, replica by replica, while everything is served.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Coordinator } from '@statestore/cluster';
import { checkNodeName } from '@statestore/cluster';
import { StateStoreError } from '@statestore/core';
import { accepted, clusterSettings } from '../cluster-settings.ts';
import type { Setting } from '../settings.ts';
import { readSettings, wholeNumber } from '../settings.ts';
import { withCluster } from './command.ts';
import type { ClusterConnection } from './connect.ts';
import type { CoordinationOptions } from './coordinate.ts';
import { coordinated, coordinationSettings, nodesSettled, runToEnd, silentHolders } from './coordinate.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const rebalanceSettings = {
  ...clusterSettings,
  replicas: {
    schema: wholeNumber(1, 9).optional(),
    allowed: '1 to 9; not more than there are nodes',
    help: 'how many replicas each partition is to have from now on',
    fallback: 'as before',
  } satisfies Setting<number | undefined>,
  ...coordinationSettings,
};

const nodeOperand = {
  node: {
    schema: accepted(checkNodeName),
    allowed: '1 to 63 of a-z, 0-9 and -, not at its ends',
    help: 'the name of the node',
    operand: true,
  } satisfies Setting<string>,
};

const nodeSettings = { ...nodeOperand, ...clusterSettings, ...coordinationSettings };

export async function rebalance(argv: readonly string[]): Promise<void> {
  const settings = readSettings(
    'statestore rebalance',
    'Spreads replicas evenly over the nodes that may hold any.',
    rebalanceSettings,
    { argv, env: process.env },
  );
  if (settings === undefined) return;
  const { replicas, giveUpAfter } = settings;
  await withCluster(settings, 'rebalance', (connection, signal) =>
    coordinated(connection, giveUpAfter, async (coordinator) => {
      if (replicas !== undefined) await coordinator.setReplicationFactor(replicas);
      await carryOut(coordinator, connection, settings, signal);
      print('Every partition has its replicas, and nodes hold equally many.');
    }),
  );
}

export function drain(argv: readonly string[]): Promise<void> {
  return ofNode('drain', 'Takes all replicas from a node.', argv, {
    wish: async (coordinator, node, connection) => {
      await checkKnown(connection, node);
      await coordinator.drain(node);
    },
    done: (node) => `Node ${node} holds no replica any more, and gets none.`,
  });
}

export function undrain(argv: readonly string[]): Promise<void> {
  return ofNode('undrain', 'Lets a node hold replicas again, and gives it some.', argv, {
    wish: async (coordinator, node, connection) => {
      await checkKnown(connection, node);
      await coordinator.undrain(node);
    },
    done: (node) => `Node ${node} may hold replicas, and replicas are spread evenly.`,
  });
}

/** A node that is there, or comes within the time of --timeout, and is filled. */
export function add(argv: readonly string[]): Promise<void> {
  return ofNode('add', 'Waits for a new node, and gives it its share of replicas.', argv, {
    wish: async (coordinator, node, _connection, waiting) => {
      await until(() => coordinator.nodes?.get(node)?.confirmed === true, `node ${node} to be there`, waiting);
      await coordinator.undrain(node);
    },
    done: (node) => `Node ${node} has its share of replicas.`,
  });
}

/** Emptied, and struck out once it is stopped. */
export function remove(argv: readonly string[]): Promise<void> {
  return ofNode('remove', 'Takes all replicas from a node, and strikes it out when it is stopped.', argv, {
    wish: async (coordinator, node, connection) => {
      await checkKnown(connection, node);
      await coordinator.drain(node);
    },
    afterwards: async (coordinator, node, waiting) => {
      await nodesSettled(coordinator, waiting.signal);
      const isLive = (): boolean => coordinator.nodes?.get(node)?.live === true;
      if (isLive()) print(`Node ${node} holds no replica any more: it may be stopped now.`);
      await until(() => !isLive(), `node ${node} to be stopped`, waiting);
      await coordinator.forget(node);
    },
    done: (node) => `Node ${node} is gone for good.`,
  });
}

interface Waiting {
  readonly signal: AbortSignal;
  readonly timeout: number | undefined;
}

const lookMs = 200;

/** Rejects with `unavailable` where it takes too long, or when interrupted. */
async function until(so: () => boolean, what: string, { signal, timeout = Infinity }: Waiting): Promise<void> {
  const beganMs = performance.now();
  if (!so()) print(`waiting: for ${what}`);
  while (!so()) {
    if (signal.aborted || performance.now() - beganMs > timeout) {
      const why = signal.aborted ? 'interrupted' : `${timeout / 1000} s have passed`;
      throw new StateStoreError('unavailable', `${why}; it waited for ${what}`, {
        hint: 'what was done stays; the same command goes on from there',
      });
    }
    await sleep(lookMs, undefined, { signal }).catch(() => {});
  }
}

interface NodeWish {
  /* oxlint-disable-next-line max-params -- by whom, of which, where, and how long it may wait */
  readonly wish: (
    coordinator: Coordinator,
    node: string,
    connection: ClusterConnection,
    waiting: Waiting,
  ) => Promise<void>;
  /** When it is carried out. */
  readonly afterwards?: (coordinator: Coordinator, node: string, waiting: Waiting) => Promise<void>;
  readonly done: (node: string) => string;
}

/* oxlint-disable-next-line max-params -- a command: its name, what it does, what it was given, how */
async function ofNode(
  name: string,
  help: string,
  argv: readonly string[],
  { wish, afterwards, done }: NodeWish,
): Promise<void> {
  const settings = readSettings(`statestore ${name}`, help, nodeSettings, { argv, env: process.env });
  if (settings === undefined) return;
  const { node, giveUpAfter } = settings;
  await withCluster(settings, name, (connection, signal) =>
    coordinated(connection, giveUpAfter, async (coordinator) => {
      const waiting = { signal, timeout: settings.timeout };
      await wish(coordinator, node, connection, waiting);
      await carryOut(coordinator, connection, settings, signal);
      await afterwards?.(coordinator, node, waiting);
      print(done(node));
    }),
  );
}

/* oxlint-disable-next-line max-params -- by whom, where, how, and until when */
async function carryOut(
  coordinator: Coordinator,
  connection: ClusterConnection,
  { timeout, giveUpAfter }: CoordinationOptions,
  signal: AbortSignal,
): Promise<void> {
  const stillWaitsFor = async (): Promise<string | undefined> => {
    const silent = await silentHolders(coordinator, connection);
    if (silent.length === 0) return undefined;
    if (giveUpAfter !== undefined)
      return `until ${silent.join(', ')} answers, or was silent for ${giveUpAfter / 1000} s`;
    print(`${silent.join(', ')}: silent, and keeps its replicas (--give-up-after makes them elsewhere)`);
    return undefined;
  };
  const patience = timeout === undefined ? undefined : timeout + (giveUpAfter ?? 0);
  await runToEnd({ coordinator, signal, timeout: patience, print, stillWaitsFor });
}

/** A name that nobody has is a typing error: drained, it would keep a later node of that name empty. */
async function checkKnown({ topologyStore, registry }: ClusterConnection, node: string): Promise<void> {
  const [topology, reports] = await Promise.all([topologyStore.read(), registry.list()]);
  const placed = (topology?.partitions ?? []).flatMap(({ replicas, joining = [] }) => [...replicas, ...joining]);
  const drained = topology?.spec?.drained ?? [];
  const known = new Set([...reports.map(({ name }) => name), ...placed, ...drained]);
  if (known.has(node)) return;
  throw new StateStoreError(
    'invalid_parameter',
    `there is no node ${node}; there are ${[...known].toSorted().join(', ') || 'none'}`,
  );
}

const forgetSettings = { ...nodeOperand, ...clusterSettings };

export async function forget(argv: readonly string[]): Promise<void> {
  const settings = readSettings(
    'statestore forget',
    'Strikes out a node that has left for good and holds nothing.',
    forgetSettings,
    { argv, env: process.env },
  );
  if (settings === undefined) return;
  const { node } = settings;
  await withCluster(settings, 'forget', (connection, signal) =>
    coordinated(connection, undefined, async (coordinator) => {
      await checkKnown(connection, node);
      await nodesSettled(coordinator, signal);
      await coordinator.forget(node);
      print(`Node ${node} is forgotten.`);
    }),
  );
}
