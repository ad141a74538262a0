// Values across the border of lmdb-js. Out: its reads all land in one buffer, and a value is the
// caller's, so each is copied; a slice of a pool costs a third of an ArrayBuffer of its own. In: the
// write thread reads memory later, and lmdb-js must ask V8 for the address of every ArrayBuffer it has
// not seen; so the small values of a commit are staged in one.

const poolBytes = 8 * 1024;
/** Larger values get their own memory: they would waste the rest of a pool. */
const pooledBytesMax = 1024;
let pool = new Uint8Array(poolBytes);
let poolWords = new Int32Array(pool.buffer);
/** In words of 4 bytes, which is how values are copied: a third of the time that bytes take. */
let usedWords = 0;

/** What lmdb-js read into last: nearly always the same buffer. */
let source: Uint8Array = new Uint8Array(0);
let sourceWords: Int32Array = new Int32Array(0);

/** A copy of the first `size` bytes of a buffer that starts at a multiple of 4, as those of lmdb-js do. */
export function copyOut(bytes: Uint8Array, size: number): Uint8Array {
  if (size > pooledBytesMax) return new Uint8Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + size));
  if (bytes !== source) {
    source = bytes;
    sourceWords = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  }
  const words = (size + 3) >> 2;
  if (words > sourceWords.length) return bytes.slice(0, size);
  if (usedWords + words > poolWords.length) {
    pool = new Uint8Array(poolBytes);
    poolWords = new Int32Array(pool.buffer);
    usedWords = 0;
  }
  const from = sourceWords;
  const to = poolWords;
  const at = usedWords;
  for (let i = 0; i < words; i++) to[at + i] = from[i]!;
  usedWords = at + words;
  return pool.subarray(at * 4, at * 4 + size);
}

/** Larger values are handed over where they are. */
const stagedBytesMax = 4096;
/** A stage larger than this is not kept for the next commit, */
const keptBytesMax = 1024 * 1024;
/** and no more of them than this. */
const sparesMax = 4;

/** What lmdb-js calls a value with a place: it reads `start` and `end` at once, and keeps `address`. */
type Stage = Uint8Array & { start?: number; end?: number };

/** Values of commits under way, each in a buffer of its own; they are placed before the next one begins. */
export class CommitStage {
  #stage: Stage = new Uint8Array(0);
  #used = 0;
  readonly #spares: Stage[] = [];

  /** For lmdb-js: how values go in, and how those of a range come out. */
  readonly encoder = {
    encode: (value: Uint8Array): Uint8Array => this.#place(value),
    decode: (bytes: Uint8Array, size: number): Uint8Array => copyOut(bytes, size),
  };

  /** What is placed from now on belongs to this commit. Call what it returns when that has ended. */
  begin(values: Iterable<Uint8Array | undefined>): () => void {
    let bytes = 0;
    for (const value of values) {
      if (value !== undefined && value.length <= stagedBytesMax) bytes += value.length;
    }
    let stage = this.#spares.pop();
    if (stage === undefined || bytes > stage.length) stage = new Uint8Array(Math.max(bytes, stagedBytesMax * 16));
    const mine = (this.#stage = stage);
    this.#used = 0;
    return () => {
      if (mine.length <= keptBytesMax && this.#spares.length < sparesMax) this.#spares.push(mine);
    };
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
