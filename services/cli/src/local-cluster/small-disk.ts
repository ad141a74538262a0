// A file system of its own, of a given size, for the data of one process, so that a test can fill it. Linux
// and root. What is on it is gone when it is taken away.
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { run } from './command.ts';
import { isLeftover, ownerTag } from './owner.ts';

export interface SmallDisk {
  remove(): Promise<void>;
}

export async function mountSmallDisk(path: string, sizeBytes: number): Promise<SmallDisk> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error('a file system of its own needs Linux and root');
  }
  await removeLeftovers();
  await mkdir(path, { recursive: true });
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes},mode=0700`, ownerTag(), path]);
  let removed: Promise<void> | undefined;
  return {
    remove: () => {
      removed ??= run('umount', [path]).then(() => {});
      return removed;
    },
  };
}

/** What dead processes have left mounted: their tag stands as the mount's source. */
async function removeLeftovers(): Promise<void> {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  for (const mount of mounts) {
    const [source = '', path = ''] = mount.split(' ');
    // Blanks in paths are written as octal escapes there.
    const real = path.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (isLeftover(source)) await run('umount', ['--lazy', real]).catch(() => {});
  }
}
