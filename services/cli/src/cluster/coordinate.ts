// Runs the coordinator until the cluster is as its topology wants it, and says what it does. It may be
// interrupted at any moment and begun again from anywhere: what was begun is in the topology.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoordinatorStep, StepOutcome } from '@statestore/cluster';
import { Coordinator } from '@statestore/cluster';
import { limits, StateStoreError } from '@statestore/core';
import type { Setting } from '../settings.ts';
import { wholeNumber } from '../settings.ts';
import type { ClusterConnection } from './connect.ts';

/** In seconds on the command line, in milliseconds from here on. */
export function seconds(fallback: number | undefined, help: string, nothing = 'never'): Setting<number | undefined> {
  const schema = wholeNumber(1, 1_000_000).transform((count) => count * 1000);
  return {
    schema: schema.optional().transform((ms) => ms ?? (fallback === undefined ? undefined : fallback * 1000)),
    allowed: '1 to 1000000 seconds',
    help,
    fallback: fallback === undefined ? nothing : String(fallback),
  };
}

export const coordinationSettings = {
  timeout: seconds(300, 'give up when nothing has changed for so long'),
  giveUpAfter: seconds(undefined, 'make replicas elsewhere for nodes that have been silent for so long'),
};

export interface CoordinationOptions {
  readonly timeout: number | undefined;
  readonly giveUpAfter: number | undefined;
}

/** Works with a coordinator of this cluster, and closes it. */
export async function coordinated<T>(
  { topologyStore, registry, logStreams }: ClusterConnection,
  giveUpAfterMs: number | undefined,
  work: (coordinator: Coordinator) => Promise<T>,
): Promise<T> {
  const giveUp = giveUpAfterMs === undefined ? {} : { giveUpAfterMs };
  const coordinator = new Coordinator({ topologyStore, registry, logStreams, ...giveUp });
  try {
    return await work(coordinator);
  } finally {
    await coordinator.close();
  }
}

/** Until it is known who is live: at first sight every node is, until it was silent for long enough. */
export async function nodesSettled(coordinator: Coordinator, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + limits.nodeSilenceMs + 1000;
  while (!signal.aborted && performance.now() < deadlineMs) {
    const nodes = [...(coordinator.nodes?.values() ?? [])];
    if (nodes.length > 0 && nodes.every(({ live, confirmed }) => confirmed || !live)) return;
    await sleep(100, undefined, { signal }).catch(() => {});
  }
}

const pauseMs = 250;

interface Run {
  readonly coordinator: Pick<Coordinator, 'step'>;
  readonly signal: AbortSignal;
  readonly timeout: number | undefined;
  readonly print: (line: string) => void;
  /** Asked when nothing is left to do: what there will be to do all the same. */
  readonly stillWaitsFor?: () => Promise<string | undefined>;
}

/**
 * Resolves when nothing is left to do. Rejects with `unavailable` where nothing changed for `timeout`, or where
 * it was interrupted; what was done stays done.
 */
export async function runToEnd({ coordinator, signal, timeout = Infinity, print, ...run }: Run): Promise<void> {
  let waitsFor = '';
  let changedMs = performance.now();
  while (!signal.aborted) {
    let outcome: StepOutcome = await coordinator.step();
    if (outcome.kind === 'done') {
      const more = await run.stillWaitsFor?.();
      if (more === undefined) return;
      outcome = { kind: 'waiting', for: more };
    }
    if (outcome.kind === 'changed') {
      changedMs = performance.now();
      waitsFor = '';
      print(`epoch ${outcome.epoch}: ${stepsText(outcome.steps)}`);
      continue;
    }
    if (outcome.for !== waitsFor) print(`waiting: ${outcome.for}`);
    waitsFor = outcome.for;
    if (performance.now() - changedMs > timeout) {
      throw new StateStoreError('unavailable', `nothing has changed for ${timeout / 1000} s; it waits: ${waitsFor}`, {
        hint: 'what was done stays; the same command goes on from there',
      });
    }
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
  }
  throw new StateStoreError('unavailable', 'interrupted', {
    hint: 'what was done stays; the same command goes on from there',
  });
}

/** Nodes that say nothing and hold replicas all the same: not given up yet, or never to be. */
export async function silentHolders(
  coordinator: Pick<Coordinator, 'nodes'>,
  { topologyStore }: Pick<ClusterConnection, 'topologyStore'>,
): Promise<readonly string[]> {
  const partitions = (await topologyStore.read())?.partitions ?? [];
  const holders = new Set(partitions.flatMap(({ replicas, joining = [] }) => [...replicas, ...joining]));
  return [...holders].filter((node) => coordinator.nodes?.get(node)?.live !== true).toSorted();
}

function stepText(step: CoordinatorStep): string {
  switch (step.kind) {
    case 'join':
      return `${step.node} builds partition ${step.partition}`;
    case 'promote':
      return `${step.node} serves partition ${step.partition}`;
    case 'leave':
      return `${step.node} is to give up partition ${step.partition}`;
    case 'stay':
      return `${step.node} keeps partition ${step.partition}`;
    case 'remove':
      return `${step.node} has given up partition ${step.partition}`;
    case 'prefer':
      return `${step.node} is preferred for partition ${step.partition}`;
    case 'split':
      return `partition ${step.partition} is split, into ${step.into}`;
    case 'merge':
      return `partition ${step.partition} is merged into ${step.into}`;
    case 'giveUp':
      return `slots of partition ${step.partition} are not to go to ${step.into} after all`;
    case 'endRetired':
      return `nobody is to hold the merged partition ${step.partition} any more`;
    case 'forgetRetired':
      return `the log of the merged partition ${step.partition} is gone`;
    case 'resized':
      return `there are ${step.partitions} partitions, as was asked for`;
  }
}

const stepsToldMax = 6;

export function stepsText(steps: readonly CoordinatorStep[]): string {
  const told = steps.slice(0, stepsToldMax).map(stepText);
  const more = steps.length - told.length;
  return [...told, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
