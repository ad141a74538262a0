// Whose a namespace or a mount is: both outlive the process that made them, so their names say which one
// that was, and the next local cluster removes what dead ones have left.
import { readFileSync } from 'node:fs';

const prefix = 'statestore';
const tagPattern = /^statestore-(\d+)-(\d+)(?:-|$)/;

/** When a process began, in ticks of the kernel: with its id it is unique while the machine is up. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; the 20th field after it is the start.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Names this process. */
export function ownerTag(): string {
  return `${prefix}-${process.pid}-${startTicks(process.pid) ?? '0'}`;
}

/** True of a name that starts with the tag of a process that is gone; false of every other name. */
export function isLeftover(name: string): boolean {
  const [, pid, ticks] = tagPattern.exec(name) ?? [];
  return pid !== undefined && startTicks(Number(pid)) !== ticks;
}
