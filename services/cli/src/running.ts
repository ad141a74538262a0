// What every service command does around its work: a log, a clean stop on SIGTERM and SIGINT, a loud
// one when a partition can no longer be trusted.
import type { Logger } from 'pino';
import { pino } from 'pino';
import type { StateStoreError } from '@statestore/core';

/** JSON lines on standard error; standard output is for people. */
export function makeLog(level: string, service: string): Logger {
  return pino({ level, base: { service } }, pino.destination(2));
}

/** A second signal, or this long, and the process ends as it stands: the log has every answered write. */
const stopTimeoutMs = 20_000;

/** A terminal's Ctrl-C arrives twice where npm stands between: once from the terminal, once passed on. */
const sameSignalMs = 500;

/**
 * Aborted by the first SIGINT or SIGTERM, with its name for a reason. A further one, some time later,
 * ends the process as it stands: whatever it is that does not end.
 */
export function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let firstMs = 0;
  const stop = (signal: NodeJS.Signals): void => {
    if (!stopping.signal.aborted) {
      firstMs = performance.now();
      stopping.abort(signal);
    } else if (performance.now() - firstMs > sameSignalMs) process.exit(1);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return stopping.signal;
}

/** Calls `close` once, on the first SIGTERM or SIGINT, then ends the process with 0. `moreMs`: that it may take beside. */
export function stopOnSignal(log: Logger, close: () => Promise<void>, moreMs = 0): void {
  const stopping = stopSignal();
  stopping.addEventListener('abort', () => {
    log.info({ signal: stopping.reason as unknown }, 'stopping');
    setTimeout(() => {
      log.error('the stop took too long');
      process.exit(1);
    }, stopTimeoutMs + moreMs).unref();
    close().then(
      () => {
        log.info('stopped');
        process.exit(0);
      },
      (error: unknown) => {
        log.error({ err: error }, 'the stop failed');
        process.exit(1);
      },
    );
  });
}

/**
 * A partition halted: its memory cannot be trusted or its disk failed. The process ends, so that whoever
 * runs it starts it again from what is on disk.
 */
export function exitOnHalt(log: Logger): (reason: StateStoreError) => void {
  return (reason) => {
    log.fatal({ err: reason, code: reason.code }, 'a partition halted');
    process.exitCode = 1;
    setTimeout(() => process.exit(1), 100);
  };
}

/** What a command has opened and opens still; closed in reverse order when the process is asked to stop. */
export class Running {
  readonly #stopping = new AbortController();
  readonly #closers: (() => Promise<void>)[] = [];

  /** `moreMs`: that closing may take, beside what it takes anyway. */
  constructor(log: Logger, moreMs?: number) {
    const close = async (): Promise<void> => {
      this.#stopping.abort();
      for (const each of this.#closers.toReversed()) await each();
    };
    stopOnSignal(log, close, moreMs);
  }

  /** For openings that wait: aborted when the process is asked to stop. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Resolves with what was opened. Never, where the process is asked to stop meanwhile: its caller does not go on. */
  async open<T>(opening: Promise<T>, close: (opened: T) => Promise<void>): Promise<T> {
    this.#closers.push(async () => {
      const outcome = await opening.then(
        (opened) => ({ opened }),
        () => undefined,
      );
      if (outcome !== undefined) await close(outcome.opened);
    });
    try {
      const opened = await opening;
      if (!this.signal.aborted) return opened;
    } catch (error) {
      if (!this.signal.aborted) throw error;
    }
    return new Promise<never>(() => {});
  }
}
