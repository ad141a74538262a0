// A TCP proxy on loopback that does to connections what networks do: cuts them at any byte, delivers in
// other pieces and later, or goes silent without a word. It doubles and changes nothing.
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface FaultyProxyOptions {
  readonly targetPort: number;
  /** 0 ≤ random() < 1 */
  readonly random?: () => number;
  /** Each connection is cut when this many bytes went through, both ways together; undefined: never. */
  readonly cutAfterBytes?: () => number;
  /** Pieces are at most this large, and each waits up to delayMs. */
  readonly pieceBytesMax?: number;
  readonly delayMs?: number;
}

export class FaultyProxy {
  readonly #server: Server;
  readonly #options: FaultyProxyOptions;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #silent = false;
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(server: Server, options: FaultyProxyOptions) {
    this.#server = server;
    this.#options = options;
    server.on('connection', (near) => this.#accept(near));
  }

  static async open(options: FaultyProxyOptions): Promise<FaultyProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FaultyProxy(server, options);
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Nothing passes any more, and nothing is closed: a peer that was stopped, a cable that was drawn. */
  silence(): void {
    this.#silent = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  speak(): void {
    this.#silent = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  cutAll(): void {
    for (const [near, far] of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  async close(): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    this.accepted++;
    const far = connect({ port: this.#options.targetPort, host: '127.0.0.1' });
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    let left = this.#options.cutAfterBytes?.() ?? Infinity;
    const cut = (): void => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    const pass = async (bytes: Buffer, to: Socket): Promise<void> => {
      const passing = bytes.subarray(0, left);
      left -= passing.length;
      for await (const piece of this.#pieces(passing)) if (!to.destroyed) to.write(piece);
      if (passing.length < bytes.length || left === 0) cut();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      let passing: Promise<void> = Promise.resolve();
      const then = (step: () => void | Promise<void>): void => void (passing = passing.then(step));
      from.on('data', (bytes: Buffer) => then(() => pass(bytes, to)));
      from.on('end', () => then(() => void to.end()));
      from.on('error', () => {});
      from.on('close', cut);
      if (this.#silent) from.pause();
    }
  }

  async *#pieces(bytes: Buffer): AsyncGenerator<Buffer> {
    const { pieceBytesMax, delayMs = 0, random = Math.random } = this.#options;
    if (pieceBytesMax === undefined) return yield bytes;
    for (let at = 0; at < bytes.length;) {
      const size = 1 + Math.floor(random() * pieceBytesMax);
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, random() * delayMs));
      yield bytes.subarray(at, at + size);
      at += size;
    }
  }
}

/** The mulberry32 generator: a seed, so that a failure can be replayed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
