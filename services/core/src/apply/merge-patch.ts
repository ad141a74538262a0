// JSON merge patch (RFC 7396) on bytes. Numbers are kept as they are written (lossless-json), so that
// patching one member does not round another; members keep their order; every replica gets the same
// bytes.
import { isLosslessNumber, parse, stringify } from 'lossless-json';
import { jsonDepthMax } from '../limits.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

/** A parsed document, or undefined where the bytes are not JSON, nest too deep, or name `__proto__`. */
export function parseJson(bytes: Uint8Array): { readonly document: unknown } | undefined {
  if (jsonDepth(bytes) > jsonDepthMax) return undefined;
  try {
    const text = decoder.decode(bytes);
    // The name would set a prototype instead of a member: refused rather than lost.
    if (text.includes('__proto__') || text.includes('\\u')) {
      if (namesPrototype(text)) return undefined;
    }
    return { document: parse(text) };
  } catch {
    return undefined;
  }
}

/** How deep the brackets nest; strings are passed over. Iterative: 100,000 levels must not hurt. */
function jsonDepth(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return deepest;
}

function namesPrototype(text: string): boolean {
  let found = false;
  JSON.parse(text, (name, value: unknown) => {
    if (name === '__proto__') found = true;
    return value;
  });
  return found;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value);
}

/** RFC 7396, section 2. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

export type Patched =
  | { readonly kind: 'patched'; readonly value: Uint8Array }
  | { readonly kind: 'not_json' }
  | { readonly kind: 'invalid_patch' };

/** `target` undefined: there is no entry, which counts as an empty object. */
export function applyMergePatch(target: Uint8Array | undefined, patch: Uint8Array): Patched {
  const parsedPatch = parseJson(patch);
  if (parsedPatch === undefined) return { kind: 'invalid_patch' };
  const parsedTarget = target === undefined ? { document: {} } : parseJson(target);
  if (parsedTarget === undefined) return { kind: 'not_json' };
  const text = stringify(mergePatch(parsedTarget.document, parsedPatch.document));
  return { kind: 'patched', value: encoder.encode(text ?? 'null') };
}
