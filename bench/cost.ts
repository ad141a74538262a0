// What a system of several processes costs while it is under load: CPU by kind of process, bytes written
// to disk, bytes sent over loopback (all of it: clients, replication, log). Linux's own counters.
import { readFileSync } from 'node:fs';
import { cpuSeconds } from './measure.ts';

export interface Cost {
  /** By kind of process. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  readonly diskBytes: number;
  readonly networkBytes: number;
}

export type ProcessesByKind = Readonly<Record<string, readonly number[]>>;

/** Started now; `end` tells what was used since. */
export function startCost(processes: ProcessesByKind): { end(): Cost } {
  const before = read(processes);
  return {
    end() {
      const after = read(processes);
      return {
        cpuSeconds: Object.fromEntries(
          Object.keys(processes).map((kind) => [kind, after.cpuSeconds[kind]! - before.cpuSeconds[kind]!]),
        ),
        diskBytes: after.diskBytes - before.diskBytes,
        networkBytes: after.networkBytes - before.networkBytes,
      };
    },
  };
}

function read(processes: ProcessesByKind): Cost {
  const pids = Object.values(processes).flat();
  return {
    cpuSeconds: Object.fromEntries(
      Object.entries(processes).map(([kind, of]) => [kind, of.reduce((sum, pid) => sum + cpuSeconds(pid), 0)]),
    ),
    diskBytes: pids.reduce((sum, pid) => sum + writtenBytes(pid), 0),
    networkBytes: loopbackBytes(),
  };
}

/** Sent to the block layer by the process: page cache that was dirtied counts, rewritten pages count once. */
function writtenBytes(pid: number): number {
  const io = readFileSync(`/proc/${pid}/io`, 'latin1');
  return Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0);
}

function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'latin1'));
  return Number(line?.[1] ?? 0);
}
