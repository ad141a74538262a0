// Names and small files that a power loss does not take back, and that nobody ever sees half-written.
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from './log/segment-files.ts';

/** Makes the folder, with those of its parents that are not there. */
export async function makeDurably(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true });
  if (made === undefined) return;
  for (let at = path; at.length >= made.length; at = dirname(at)) await syncDirectory(dirname(at));
}

/** What a file is called until it takes its place; who is killed may leave one. */
export function draftOf(path: string): string {
  return `${path}.new`;
}

/** The file has the old content or the new one, whatever happens. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = draftOf(path);
  const file = await open(draft, 'w');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncDirectory(dirname(path));
}
