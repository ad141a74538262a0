// What is done with the folder of a replica while nothing of it is open: one thing at a time, between two lives of it.
export class AbsentTasks {
  readonly #claims: (() => Promise<void>)[] = [];
  #once: (() => Promise<void>) | undefined;

  /** In the place of what was to be done once and has not begun. */
  once(run: () => Promise<void>): void {
    this.#once = run;
  }

  /** Resolves with how to give the folder back, when it is one's own. Rejects with the signal's reason. */
  claim(signal: AbortSignal): Promise<() => void> {
    const granted = Promise.withResolvers<() => void>();
    const abort = (): void => granted.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    this.#claims.push(async () => {
      signal.removeEventListener('abort', abort);
      if (signal.aborted) return;
      const over = Promise.withResolvers<void>();
      granted.resolve(over.resolve);
      await over.promise;
    });
    return granted.promise;
  }

  get claimed(): (() => Promise<void>) | undefined {
    return this.#claims.shift();
  }

  /** What is to be done once; undefined: nothing. */
  take(): (() => Promise<void>) | undefined {
    const run = this.#once;
    this.#once = undefined;
    return run;
  }
}
