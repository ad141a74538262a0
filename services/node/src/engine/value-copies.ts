// Values across the border of lmdb-js. Out: its reads all land in one buffer, and a value is the
// caller's, so each is copied; a slice of a pool costs a third of an ArrayBuffer of its own. In: the
// write thread reads memory later, and lmdb-js must ask V8 for the address of every ArrayBuffer it has
// not seen; so the small values of a commit are staged in one.

const poolBytes = 8 * 1024;
/** Larger values get their own memory: they would waste the rest of a pool. */
const pooledBytesMax = 1024;
let pool = new Uint8Array(poolBytes);
let used = 0;

/** A copy of the first `size` bytes. */
export function copyOut(bytes: Uint8Array, size: number): Uint8Array {
  if (size > pooledBytesMax) return new Uint8Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + size));
  if (used + size > poolBytes) {
    pool = new Uint8Array(poolBytes);
    used = 0;
  }
  const copy = pool.subarray(used, used + size);
  used += size;
  for (let i = 0; i < size; i++) copy[i] = bytes[i]!;
  return copy;
}

/** Larger values are handed over where they are. */
const stagedBytesMax = 4096;
/** A stage larger than this is not kept for the next commit. */
const keptBytesMax = 1024 * 1024;

/** What lmdb-js calls a value with a place: it reads `start` and `end` at once, and keeps `address`. */
type Stage = Uint8Array & { start?: number; end?: number };

/** Values of one commit at a time: `begin` only where the one before has ended. */
export class CommitStage {
  #stage: Stage = new Uint8Array(0);
  #used = 0;

  /** For lmdb-js: how values go in, and how those of a range come out. */
  readonly encoder = {
    encode: (value: Uint8Array): Uint8Array => this.#place(value),
    decode: (bytes: Uint8Array, size: number): Uint8Array => copyOut(bytes, size),
  };

  begin(values: Iterable<Uint8Array | undefined>): void {
    let bytes = 0;
    for (const value of values) {
      if (value !== undefined && value.length <= stagedBytesMax) bytes += value.length;
    }
    if (bytes > this.#stage.length) this.#stage = new Uint8Array(Math.max(bytes, stagedBytesMax * 16));
    this.#used = 0;
  }

  end(): void {
    if (this.#stage.length > keptBytesMax) this.#stage = new Uint8Array(0);
  }

  #place(value: Uint8Array): Uint8Array {
    const { length } = value;
    const stage = this.#stage;
    if (length > stagedBytesMax || this.#used + length > stage.length) return value;
    stage.set(value, this.#used);
    stage.start = this.#used;
    this.#used += length;
    stage.end = this.#used;
    return stage;
  }
}
