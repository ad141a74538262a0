// Every metric of a node process, once: what it is called and what it says. docs/operations.md is checked
// against it.

export const nodeMetricTable = {
  state_replica_state: '1 for the state that the replica is in: starting, copying, running, halted or stopped',
  state_replica_applied_position: 'Last batch whose effects readers of the replica see',
  state_replica_stored_position: 'Last batch of the replica that is in its engine',
  state_replica_lag_positions: 'Batches that the log has and the replica has not applied, as far as the node knows',
  state_replica_lag_seconds: 'How long the replica has been behind its log',
  state_replica_queued_commands: 'Commands that wait for the proposer of the replica',
  state_replica_write_buffer_bytes: 'Bytes that the replica applied and that are not in its engine yet',
  state_replica_halted: '1 where the replica halted, by cause',
  state_replica_rebuilds_total: 'Times that the replica was built from another node',
  state_restores_total: 'Times that the replica was restored from a checkpoint',
  state_restore_failures_total: 'Attempts to restore the replica from a checkpoint that failed',
  state_restore_passed_over_total: 'Checkpoints that were found to be damaged when the replica was to be restored',
  state_restore_last_seconds: 'How long its last restore took, without the log that is followed after it',
  state_restore_progress_ratio: 'How much of the checkpoint is read, 0 to 1; absent where the replica is not restored',
  state_restore_records: 'Records that came so far, while the replica is restored or copied',
  state_restore_bytes: 'Bytes that came so far: of a checkpoint as they are stored',
  state_restore_remaining_seconds: 'How long it takes yet, at the speed so far',
  state_replica_kept_folders:
    'Folders with data of replicas of the partition that are kept aside until a person removes them',
  state_replica_kept_bytes: 'What those folders take on the disk',
  state_hash_mismatches_total: 'Positions at which another replica had other hashes',
  state_log_appends_total: 'Batches sent to logs, by outcome: appended, unknown, or why they were refused',
  state_log_append_bytes: 'Size of the batches sent to logs',
  state_log_append_duration_seconds: 'Time until a log answered for a batch',
  state_refused_total: 'Commands that were not done, or whose outcome is not known, by the code of the error',
  state_engine_flush_duration_seconds: 'Time that the engine took to store what was applied',
  state_disk_free_bytes: 'Free space on the disk of the data folder',
  state_disk_total_bytes: 'Size of that disk',
  state_disk_level: '0: ample. 1: low, writes are refused. 2: critical, nothing is applied',
  state_nats_connected: '1 while there is a connection to NATS',
  state_nats_reconnects_total: 'Times that the connection to NATS was lost and came back',
  state_topology_epoch: 'Epoch of the topology that the node acts on; 0 before the first',
  state_checkpoints_total: 'Checkpoints that the node conducted, by outcome: created or failed',
  state_checkpoint_running: '1 while a checkpoint of the cluster is being made, whichever node conducts it',
  state_checkpoint_progress_ratio: 'How much of it is read, 0 to 1; 0 where none is being made',
  state_checkpoint_duration_seconds: 'How long the last checkpoint took that was created',
  state_checkpoint_stored_bytes: 'What a restore of it reads, as it is stored',
  state_checkpoint_uploaded_bytes: 'What was uploaded for it: the rest was there already',
  state_checkpoint_age_seconds: 'How long ago it was complete; absent before the first one',
  state_checkpoint_namesake:
    '1: another cluster of this name keeps checkpoints in the same repository. Absent: nothing is known of it',
  state_checkpoints_damaged:
    'Checkpoints in the repository whose manifest cannot be read, or with a block that is not whole, as somebody last saw',
  state_checkpoint_proven_age_seconds:
    'How long ago every block of the two checkpoints that logs are trimmed below was known to be whole; absent before',
  state_checkpoint_clearing_blocked:
    '1 where nothing could be cleared up after the last checkpoint; absent before the first',
  state_repository_answer_age_seconds: 'How long ago the repository last answered this node, or the process began',
  state_log_kept_positions: 'Batches that the log has left, as of when this node was last to trim it',
  state_archive_position: 'Last batch of the partition that is archived; of the node that archives it',
  state_archive_age_seconds: 'How long ago the oldest batch was stored that is not archived; 0 where there is none',
  state_archive_bytes: 'What the node stored of the partition in the archive since it began, compressed',
  state_archive_failures: 'Times that archiving the partition failed since the node began',
  state_archive_gap_positions: 'Batches that are not archived and cannot be any more: those moments cannot be restored',
  state_reshapes: 'Splits and merges under way that the node takes part in, by kind',
  state_reshape_progress_ratio:
    'How much of the child is built, or of the merge staged, on this node, 0 to 1; of those under way',
  state_reshapes_total: 'Splits and merges that the node drove, by kind, and by outcome: done, given_up or unfenced',
  state_reshape_fence_duration_seconds:
    'How long slots were fenced, until the topology said whose they are; of those that the node drove',
  state_reshape_built_bytes_total: 'Bytes of keys and values of children that were built, and merges that were staged',
  state_node_ready: '1 where every replica that the node is to serve runs, and there is room on the disk',
} as const;

export type NodeMetricName = keyof typeof nodeMetricTable;
