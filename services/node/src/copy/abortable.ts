// A stream that can be left at any instant: also while its source is silent and deaf to the signal.

/** Its `next` rejects with the signal's reason as soon as that aborts; `return` waits for nobody. */
export function abortable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterator<T, void> {
  const items = source[Symbol.asyncIterator]();
  let left = false;
  const leave = (): void => {
    if (left) return;
    left = true;
    // One that never answers must not be waited for; one that fails now has nobody to tell.
    void Promise.resolve(items.return?.()).catch(() => undefined);
  };
  const done = { done: true, value: undefined } as const;
  return {
    async next() {
      if (left) return done;
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T, void>>();
      const abort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      try {
        items.next().then((step) => resolve(step.done === true ? done : step), reject);
        return await promise;
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
    async return() {
      leave();
      return done;
    },
  };
}
