// For clusters of tests that are not about disks: they run on whatever disk a machine has, however full it is
// already. Tests about full disks leave it out, and have small disks of their own.
import type { DiskPercent } from '@statestore/cli';

const thresholds: DiskPercent = { low: 0.2, critical: 0.1 };

/** `diskPercent` of a local cluster: of nodes whose names are not among `small`. */
export function anyDisk(small: Iterable<string> = []): (node: string) => DiskPercent | undefined {
  const own = new Set(small);
  return (node) => (own.has(node) ? undefined : thresholds);
}

/** The same, as arguments of `npm run cluster`. */
export const anyDiskArgs: readonly string[] = [
  '--disk-low-percent',
  String(thresholds.low),
  '--disk-critical-percent',
  String(thresholds.critical),
];
