// An entry of a listing as JSON text, built by hand: a listing is the one answer whose cost is the
// writing of JSON.
import { isUtf8 } from 'node:buffer';
import type { KeyedEntry } from '@statestore/link';
import { keyText } from './names.ts';
import { formatTime } from './ttl.ts';
import { quote } from './value-json.ts';

/** `{"key":…,"etag":…}`, with value, size and content type where values were asked for. */
export function entryJson(entry: KeyedEntry, values: boolean): string {
  let text = `{"key":${quote(keyText(entry.key))},"etag":"\\"${entry.revision}\\""`;
  if (values) {
    const { value } = entry;
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    text += isUtf8(bytes)
      ? `,"value":${quote(bytes.toString())},"encoding":"utf8","size":${bytes.length}`
      : `,"value":"${bytes.toString('base64')}","encoding":"base64","size":${bytes.length}`;
  }
  if (entry.contentType !== '') text += `,"contentType":${quote(entry.contentType)}`;
  if (entry.expiresAtMs !== 0) text += `,"expiresAt":"${formatTime(entry.expiresAtMs)}"`;
  return `${text}}`;
}
