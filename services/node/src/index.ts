export type {
  Acceptance,
  Engine,
  EngineEntries,
  EngineEntry,
  EngineKind,
  EngineRange,
  EngineReader,
  EngineSnapshot,
  EngineWrites,
} from './engine/engine.ts';
export type { ClusterNode, ClusterNodeStatus } from './cluster/cluster-node.ts';
export { openClusterNode } from './cluster/cluster-node.ts';
export { nodeMetricTable } from './cluster/metric-table.ts';
export type { MetricsServer } from './cluster/metrics-server.ts';
export { openMetricsServer } from './cluster/metrics-server.ts';
export type { ClusterNodeOptions } from './cluster/node-options.ts';
export type { EmbeddedNode, EmbeddedNodeOptions } from './embedded-node.ts';
export { openEmbeddedNode } from './embedded-node.ts';
export type { Checkpoints, OpenCheckpointsOptions } from './checkpoint/open-checkpoints.ts';
export { openCheckpoints } from './checkpoint/open-checkpoints.ts';
export type { CheckpointSettings } from './checkpoint/checkpoint-settings.ts';
export { ClusterReplicas } from './checkpoint/cluster-replicas.ts';
export type { Candidate, CheckpointWriter, PartitionTask, Replicas } from './checkpoint/replicas.ts';
export { ownReplicas } from './checkpoint/replicas.ts';
export { type BegunLogsOptions, describeBegunLogs } from './checkpoint/begun-logs.ts';
export { type BegunOptions, begunWith } from './checkpoint/restore-source.ts';
export { openScratchEngine } from './checkpoint/scratch-engine.ts';
export { makeScratchFolder } from './checkpoint/scratch-folder.ts';
export { checkInterval, Schedule, type ScheduleSettings } from './checkpoint/schedule.ts';
export type { FolderLock } from './folder-lock.ts';
export { lockFolder } from './folder-lock.ts';
export { mayGrow } from './command-check.ts';
export type { LocalNodeOptions } from './local-node.ts';
export { LocalNode } from './local-node.ts';
export type { JetStreamLogOptions } from './log/jetstream-log.ts';
export { openJetStreamLog } from './log/jetstream-log.ts';
export type { AppendOutcome, Log, LogBounds, LogRecord, Subscription, SubscriptionEnd } from './log/log.ts';
export type { PartitionOptions } from './partition-options.ts';
export { Partition } from './partition.ts';
export type { Time, Timer } from './time.ts';
export { systemTime } from './time.ts';
export { watchArchive } from './checkpoint/archive-metrics.ts';
export {
  type EmbeddedArchive,
  type EmbeddedArchiveOptions,
  openEmbeddedArchive,
} from './checkpoint/embedded-archive.ts';
export { JournalHold } from './checkpoint/journal-hold.ts';
export { type RestoredFolder, restoreFolder, type RestoreFolderOptions } from './checkpoint/restore-folder.ts';
export { Archivers, type ArchiversOptions, type ArchiveSource, type PartitionArchive } from './checkpoint/archivers.ts';
export { type ReplicaRestore, restoreReplica, type RestoreReplicaOptions } from './checkpoint/restore-replica.ts';
export { initialStateOf, leadsToLog } from './checkpoint/initial-state.ts';
export type { MaterialiseProgress } from './checkpoint/materialise.ts';
export { type PreparedRestore, prepareRestore, type PrepareRestoreOptions } from './checkpoint/restore-cluster.ts';
export { momentForms, parseMoment } from './checkpoint/restore-moment.ts';
export type { RestoreMoment } from './checkpoint/restore-plan.ts';
export { type PartitionReach, reachLines } from './checkpoint/restore-reach.ts';
export { restoredGeneration } from './checkpoint/restored-generation.ts';
export { watchTrim } from './checkpoint/trim-metrics.ts';
export { trimLogs, type TrimOptions, type TrimOutcome } from './checkpoint/trim.ts';
