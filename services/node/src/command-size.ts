// About how many bytes a command takes in a batch: what the proposer's bounds count.
import type { Command } from '@statestore/core';

/** Room for a command's own fields beside its keys and values. */
const overheadBytes = 96;
/** These write a whole value anew, of up to 1 MiB, however small they are: a batch must not hold many of them. */
const rewriting: ReadonlySet<string> = new Set(['append', 'mergePatch', 'touch']);
const rewriteBytes = 2048;

export function commandBytes({ body }: Command): number {
  let bytes = overheadBytes;
  if (body.kind !== 'mutate') return bytes;
  for (const { key } of body.checks) bytes += key.length + 16;
  for (const operation of body.operations) {
    bytes += operation.key.length + 48;
    if ('value' in operation) bytes += operation.value.length;
    if (rewriting.has(operation.kind)) bytes += rewriteBytes;
    if ('contentType' in operation) bytes += operation.contentType.length;
  }
  return bytes;
}
