// What a node is told of the checkpoints that it conducts. Made by the command line out of its settings; all nodes
// of a cluster should be told the same.
import type { ScheduleSettings } from './schedule.ts';

export interface CheckpointSettings {
  readonly schedule: ScheduleSettings;
  /** Undefined: any number, any age. */
  readonly maxCheckpoints?: number | undefined;
  readonly maxAgeMs?: number | undefined;
  /** Of zstd. */
  readonly level: number;
  readonly deadlineMs: number;
  /** How often the node looks whether the repository answers, and what was deleted by hand. */
  readonly lookMs?: number | undefined;
  /** How long the final checkpoint of a stop may take; undefined: none is made. */
  readonly shutdownMs?: number | undefined;
}
