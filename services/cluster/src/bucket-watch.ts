// Follows what is stored in a bucket, for ever. The server that stores something tells it on a core NATS
// subject (republish); a subscription survives reconnects and needs nothing on the servers. What is missed
// while a connection is down or while a leader changes, reading again finds: at each reconnect, and every few seconds.
//
// Why not the library's own watch: it is an ordered consumer, which a server holds in memory. When that
// server goes, the client notices after two missed heartbeats of 5 s, later 30 s; it gives up for good
// after 30 attempts without a message; and its iterator then ends without an error (kv.js, pushconsumer.js of 3.4).
import type { Msg, NatsConnection } from '@nats-io/nats-core';
import { limits } from '@statestore/core';
import { isConnected, onConnectionChange } from './connection.ts';

export interface BucketWatchOptions {
  readonly nc: NatsConnection;
  readonly subject: string;
  /** What was stored, as soon as it was. Must not throw. */
  readonly onStored: (message: Msg) => void;
  /** Reads what there is; never called while a call is under way. A rejection is told to `onProblem`, and it is called again soon. */
  readonly read: () => Promise<void>;
  readonly onProblem: (problem: unknown) => void;
}

export class BucketWatch {
  readonly #options: BucketWatchOptions;
  readonly #unsubscribe: () => void;
  readonly #forgetConnection: () => void;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  /** A read was asked for while one was under way. */
  #again = false;
  #closed = false;

  constructor(options: BucketWatchOptions) {
    this.#options = options;
    const { nc, subject, onStored, onProblem } = options;
    const subscription = nc.subscribe(subject, {
      callback: (problem, message) => {
        if (this.#closed) return;
        if (problem === null) onStored(message);
        else onProblem(problem);
      },
    });
    this.#unsubscribe = () => subscription.unsubscribe();
    this.#forgetConnection = onConnectionChange(nc, () => {
      if (isConnected(nc)) this.#readNow();
    });
    this.#readNow();
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#timer);
      this.#forgetConnection();
      if (!this.#options.nc.isClosed()) this.#unsubscribe();
    }
    await this.#reading;
  }

  #readNow(): void {
    if (this.#closed) return;
    if (this.#reading !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#reading = this.#readOnce().then((nextMs) => {
      this.#reading = undefined;
      if (this.#closed) return;
      if (this.#again) {
        this.#again = false;
        this.#readNow();
      } else {
        this.#timer = setTimeout(() => this.#readNow(), nextMs);
      }
    });
  }

  /** After how many milliseconds to read again. */
  async #readOnce(): Promise<number> {
    try {
      await this.#options.read();
      return limits.bucketRereadMs;
    } catch (problem) {
      if (!this.#closed) this.#options.onProblem(problem);
      return limits.bucketRetryMs;
    }
  }
}
