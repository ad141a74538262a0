// What a process that is killed while it restores shares with the test that looks at what is left.

/** Of a replica, on its node. */
export const replicaStages = [
  'downloading',
  'after the last put',
  'before it is complete',
  'complete',
  'old data moved aside',
  'in place',
  'replaying',
] as const;

/** Of `statestore restore`, of a cluster. */
export const commandStages = [
  'downloading',
  'between partitions',
  'after the manifest',
  'logs asked for',
  'before the topology',
  'topology sent',
] as const;

/** Of the same, of a data folder. */
export const folderStages = ['downloading', 'half in place', 'before it is described', 'described'] as const;

export type Stage = (typeof replicaStages)[number] | (typeof commandStages)[number] | (typeof folderStages)[number];

/** Ordered instead of a stage: blocks are not read until the order is gone. */
export const held = 'held';
