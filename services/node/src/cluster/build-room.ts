// A replica is poured into an engine for as long as the disk has room for it beside what the others of the node need.
import { limits } from '@statestore/core';
import type { Engine } from '../engine/engine.ts';
import type { Time } from '../time.ts';
import type { DiskRoom, TakenRoom } from './disk-room.ts';

export class BuildRoom {
  readonly #room: DiskRoom;
  readonly #time: Time;
  #taken: TakenRoom | undefined;

  constructor({ diskRoom, time }: { readonly diskRoom: DiskRoom; readonly time: Time }) {
    this.#room = diskRoom;
    this.#time = time;
  }

  /** So much of it has come, 0 to 1. */
  came(part: number): void {
    this.#taken?.used(part);
  }

  /** The engine; its `restore` rejects with `disk_full`, before anything is done, where so many bytes of keys and values do not fit. */
  over(engine: Pick<Engine, 'restore'>, contentBytes: () => number): Pick<Engine, 'restore'> {
    return {
      restore: async (entries, position, accept) => {
        const taken = await this.#room.take(contentBytes());
        this.#taken = taken;
        try {
          await engine.restore(entries, position, accept);
        } finally {
          this.#taken = undefined;
          taken.release();
        }
      },
    };
  }

  /** What goes in there. Rejects with `disk_full` where the disk is not what it was any more. */
  async *guard<P>(parts: AsyncIterable<P>): AsyncGenerator<P, void> {
    let lookedMs = this.#time.elapsedMs();
    for await (const part of parts) {
      const nowMs = this.#time.elapsedMs();
      if (nowMs - lookedMs >= limits.buildDiskLookMs) {
        lookedMs = nowMs;
        await this.#taken?.check();
      }
      yield part;
    }
  }
}
