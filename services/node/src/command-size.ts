// About how many bytes a command takes in a batch: what the proposer's bounds count.
import type { Command, CommandBody } from '@statestore/core';

/** Room for a command's own fields beside its keys and values. */
const overheadBytes = 96;
/** These write a whole value anew, of up to 1 MiB, however small they are: a batch must not hold many of them. */
const rewriting: ReadonlySet<string> = new Set(['append', 'mergePatch', 'touch']);
const rewriteBytes = 2048;

export function commandBytes({ body }: Command): number {
  let bytes = overheadBytes;
  if (body.kind !== 'mutate') return bytes + reshapeBytes(body);
  for (const { key } of body.checks) bytes += key.length + 16;
  for (const operation of body.operations) {
    bytes += operation.key.length + 48;
    if ('value' in operation) bytes += operation.value.length;
    if (rewriting.has(operation.kind)) bytes += rewriteBytes;
    if ('contentType' in operation) bytes += operation.contentType.length;
  }
  return bytes;
}

/** Numbers and a hash beside each name; settings, too, of those that are absorbed. */
const storeBytes = 64;
const settingsBytes = 64;
const rememberedBytes = 64;
const resultBytes = 48;
const rangeBytes = 12;

function reshapeBytes(body: CommandBody): number {
  let bytes = 0;
  if ('slots' in body) bytes += (body.slots.length + body.ownedBefore.length) * rangeBytes;
  switch (body.kind) {
    case 'prepareAbsorb':
      for (const name of body.stores) bytes += name.length + 4;
      return bytes + body.ownedBefore.length * rangeBytes;
    case 'handOver':
      for (const { name } of body.stores) bytes += name.length + storeBytes;
      return bytes;
    case 'absorb':
      for (const { name } of body.stores) bytes += name.length + storeBytes + settingsBytes;
      return bytes;
    case 'remember':
      for (const { result } of body.records) bytes += rememberedBytes + (1 + result.operations.length) * resultBytes;
      return bytes;
    default:
      return bytes;
  }
}
