// The calls of a repository that are under way: so many at a time, each ends when its caller aborts it or the
// repository is closed, and closing waits for them.
import { setTimeout as sleep } from 'node:timers/promises';
import { limits, StateStoreError } from '@statestore/core';
import { Gate } from './gate.ts';
import type { RepositoryCall } from './repository.ts';

export class OpenCalls {
  readonly #location: string;
  readonly #gate: Gate;
  readonly #closing = new AbortController();
  readonly #open = new Set<Promise<unknown>>();

  constructor(location: string, atOnceMax: number) {
    this.#location = location;
    this.#gate = new Gate(atOnceMax);
  }

  /** `work` gets the signal that ends it; the call ends with it even where `work` does not notice. */
  async run<T>(call: RepositoryCall | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const closing = this.#closing.signal;
    const signal = call?.signal === undefined ? closing : AbortSignal.any([call.signal, closing]);
    signal.throwIfAborted();
    const working = this.#gate.run(async () => {
      signal.throwIfAborted();
      return work(signal);
    });
    const settled = working.then(
      () => undefined,
      () => undefined,
    );
    this.#open.add(settled);
    void settled.then(() => this.#open.delete(settled));
    return untilAborted(working, signal);
  }

  /**
   * Nothing can be begun any more, and nothing is under way when it resolves; but what a file system that hangs does not
   * give back is not waited for longer than a graceful stop can be.
   */
  async close(): Promise<void> {
    this.#closing.abort(new StateStoreError('shutting_down', `the repository ${this.#location} is closed`));
    const waited = new AbortController();
    const tired = sleep(limits.repositoryCloseMs, undefined, { signal: waited.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#open), tired]);
    waited.abort();
  }
}

/** What the work comes to, or at once the signal's reason. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
