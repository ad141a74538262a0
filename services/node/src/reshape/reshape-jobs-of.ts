// The jobs of splits and merges on a node's replicas: what they read, and what they build in.
import type { Merge, Split } from '@statestore/core';
import { slotRanges } from '@statestore/core';
import type { ReshapeContext, RunningPartition } from './reshape-context.ts';
import { placementOf } from './reshape-context.ts';
import { MergeJob, notHere, SplitJob } from './reshape-job.ts';
import type { BuiltChild } from './reshape-work.ts';

/** The replicas of this node that run now. */
export interface Here {
  source(): RunningPartition | undefined;
  target(): RunningPartition | undefined;
}

export function splitJobOf(context: ReshapeContext, split: Split, here: Here): SplitJob {
  const { time, replicaOf, works } = context;
  return new SplitJob({
    time,
    id: split.id,
    log: split.log.incarnation,
    child: replicaOf(split.target),
    onDiscarded: () => context.prepareChild(split.target, undefined),
    openWork: async ({ engine }) => {
      const source = here.source();
      if (source === undefined) throw notHere(`partition ${split.source}`);
      await checkRoom(context, split, source);
      return works.openSplitWork({ split, source: source.running.present, engine, time });
    },
  });
}

export function mergeJobOf(context: ReshapeContext, merge: Merge, here: Here): MergeJob {
  const { time, works } = context;
  return new MergeJob({
    time,
    openWork: async () => {
      const [source, target] = [here.source(), here.target()];
      if (source === undefined || target === undefined) throw notHere(`partition ${merge.source} or ${merge.target}`);
      await checkRoom(context, merge, source);
      const { partition, running } = target;
      return works.openMergeWork({
        merge,
        source: source.running.present,
        target: { ...running.present, stage: (writes) => partition.stage(writes), sync: () => partition.sync() },
        time,
      });
    },
  });
}

/** As much as its slots are of the source's. */
async function checkRoom(
  context: ReshapeContext,
  reshape: Split | Merge,
  { running }: RunningPartition,
): Promise<void> {
  const owned = placementOf(context.topology(), reshape.source)?.slots ?? reshape.slots;
  const part = slotRanges.slotCountOf(reshape.slots) / Math.max(1, slotRanges.slotCountOf(owned));
  await context.checkRoom(Math.ceil(running.facts.bytes * Math.min(1, part)));
}

/** The child follows its log from now on, and only waits for the topology. */
export function prepareChild(context: ReshapeContext, split: Split, child: BuiltChild): void {
  const { slots, slotsEpoch, target, source } = split;
  const { incarnation, position, chain } = child;
  const log = { ...split.log, continues: { incarnation, position, chain } };
  const { replicas = [] } = placementOf(context.topology(), source) ?? {};
  context.prepareChild(target, { partition: target, slots, slotsEpoch, replicas, log });
}
