// LMDB reads through a memory map, so every page of its file that was touched counts as resident
// memory of the process, though the kernel can take it back at any time: 330 MB for a million entries of
// 128 bytes. An engine that opens its file anew drops its pages from that account; the content stays in
// the page cache, and the next read of a page costs a minor fault.
import { readFileSync } from 'node:fs';
import { limits } from '@statestore/core';

/** Files that matter. Smaller ones give too little for the faults they cost. */
const fileBytesMin = 4 * 1024 * 1024;

/** Resident pages of mapped files, whosever they are; 0 where the system does not tell. */
function residentFileBytes(): number {
  try {
    return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Decides for one engine when to let go of its map. */
export interface MapWatch {
  isDue(fileBytes: () => number): boolean;
}

export class ResidentWatch implements MapWatch {
  #nextLookMs = 0;

  isDue(fileBytes: () => number): boolean {
    const now = performance.now();
    if (now < this.#nextLookMs) return false;
    this.#nextLookMs = now + limits.engineResidentCheckMs;
    return residentFileBytes() > limits.engineResidentBytesMax && fileBytes() >= fileBytesMin;
  }
}
