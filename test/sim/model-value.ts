// What the naive model makes of one value: the plain meaning of each operation.
import type { Operation, ResultCode } from '@statestore/core';

const latin = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');

interface Made {
  readonly value: string;
  readonly contentType: string;
  readonly number?: bigint;
}

export function makeValue(
  operation: Exclude<Operation, { kind: 'delete' }>,
  live: { readonly value: string; readonly contentType: string } | undefined,
): Made | ResultCode {
  switch (operation.kind) {
    case 'put':
      return { value: latin(operation.value), contentType: operation.contentType };
    case 'append':
      return {
        value: (live?.value ?? '') + latin(operation.value),
        contentType: live?.contentType ?? operation.contentType,
      };
    case 'touch':
      return live ?? 'not_found';
    case 'increment': {
      const text = live?.value ?? '0';
      if (!/^-?[0-9]{1,19}$/.test(text) || BigInt.asIntN(64, BigInt(text)) !== BigInt(text)) return 'not_a_number';
      const number = BigInt(text) + operation.delta;
      if (BigInt.asIntN(64, number) !== number) return 'out_of_bounds';
      if (operation.min !== undefined && number < operation.min) return 'out_of_bounds';
      if (operation.max !== undefined && number > operation.max) return 'out_of_bounds';
      return { value: number.toString(), contentType: live?.contentType ?? 'application/json', number };
    }
    case 'mergePatch': {
      const patch = jsonOf(latin(operation.value));
      if (patch === undefined) return 'invalid_json';
      const target = jsonOf(live?.value ?? '{}');
      if (target === undefined) return 'not_json';
      return {
        value: JSON.stringify(merge(target.json, patch.json)),
        contentType: live?.contentType ?? 'application/json',
      };
    }
  }
}

/** Plain JSON: what tests write has no large numbers and no text beyond ASCII. */
function jsonOf(text: string): { json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

function merge(target: unknown, patch: unknown): unknown {
  const isObject = (value: unknown): value is object =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject(patch)) return patch;
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, merge(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}
